"""A canary: which machines boot another channel than the rest, before the rest does. Pure, and signed as channels are.

Whether a machine is one is a question of its MAC address and rack alone, so that servers that are started anew, and
several of them, give the same answer. A larger share takes in those of a smaller one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from swarmboot.codec import DecodeError, Fields, pack, unpack
from swarmboot.errors import MalformedSettingError, ManifestError
from swarmboot.release.layout import check_channel_name

CANARY_MAX_BYTES = 1 << 18
EVERYBODY_PPM = 1_000_000
_LISTED_MAX = 4096
_MAC = re.compile(r"[0-9a-f*?]{1,2}(:[0-9a-f*?]{1,2}){0,5}\Z")
_RACK = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """Who boots `source` in place of `channel`: MAC addresses with `*` and `?`, racks, a share in millionths.

    Any one that fits is enough. `issued_unix_s` is when that was said.
    """

    fleet: str
    channel: str
    source: str
    macs: tuple[str, ...] = ()
    racks: tuple[str, ...] = ()
    share_ppm: int = 0
    issued_unix_s: int = 0

    @property
    def who(self) -> str:
        """Return whom it is for, in words."""
        share = (f"{self.share_ppm / 10_000:g} % of the machines",) if self.share_ppm else ()
        racks = (f"rack{'s' if len(self.racks) > 1 else ''} {', '.join(self.racks)}",) if self.racks else ()
        return ", ".join((*share, *racks, *self.macs))


def is_canary(canary: Canary, *, mac: str, rack: str) -> bool:
    """Return whether a machine, by its MAC address (lower case, colons) and its rack, boots the canary's channel."""
    is_named = rack in canary.racks or any(fnmatchcase(mac, pattern) for pattern in canary.macs)
    return is_named or drawn_ppm(canary, mac) < canary.share_ppm


def drawn_ppm(canary: Canary, mac: str) -> int:
    """Return a machine's place among a million, the same for this fleet and channel whenever it is asked."""
    digest = hashlib.sha256("\0".join((canary.fleet, canary.source, mac)).encode()).digest()
    return int.from_bytes(digest[:8], "big") * EVERYBODY_PPM >> 64


def is_mac_pattern(text: str) -> bool:
    """Return whether a text is a MAC address, lower case with colons, in which `*` and `?` may stand."""
    return _MAC.match(text) is not None


def is_rack(text: str) -> bool:
    """Return whether a text can be a rack's name."""
    return _RACK.match(text) is not None


def encode_canary(canary: Canary) -> bytes:
    """Return the canary's canonical bytes: what is signed."""
    return pack(
        {
            "fleet": canary.fleet,
            "channel": canary.channel,
            "source": canary.source,
            "macs": list(canary.macs),
            "racks": list(canary.racks),
            "share": canary.share_ppm,
            "issued": canary.issued_unix_s,
        }
    )


def decode_canary(payload: bytes) -> Canary:
    """Return the canary in these bytes; raise ManifestError if they are none that this version can obey."""
    try:
        fields = Fields(unpack(payload, max_bytes=CANARY_MAX_BYTES), "canary")
        fields.check_critical(frozenset())
        canary = Canary(
            fleet=fields.text("fleet"),
            channel=fields.text("channel", most=64),
            source=fields.text("source", most=64),
            macs=fields.texts("macs", most=_LISTED_MAX, each=17),
            racks=fields.texts("racks", most=_LISTED_MAX, each=64),
            share_ppm=fields.integer("share", most=EVERYBODY_PPM),
            issued_unix_s=fields.integer("issued"),
        )
        if not all(map(is_mac_pattern, canary.macs)) or not all(map(is_rack, canary.racks)):
            raise DecodeError("a MAC address or a rack in it is none")
        check_channel_name(canary.channel)
        check_channel_name(canary.source)
    except MalformedSettingError as error:
        raise ManifestError(f"the signed canary cannot be used: {error.what}", found=error.found) from error
    except DecodeError as error:
        raise ManifestError(f"the signed canary cannot be used: {error}", hint="set it again") from error
    return canary
