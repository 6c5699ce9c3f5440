"""Sets and ends a channel's canary: a part of the fleet that boots another channel, kernel and initramfs included.

Nothing is published for it: what the two channels have stays as it is, and one small file that the same keys sign says
who boots which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from seeder.handles.change import Signing, believed, check_whole, pointed
from seeder.site.canaries import read_canary, write_canary
from seeder.site.writer import SiteWriter
from swarmboot.errors import BlobError, MalformedSettingError, ReleaseError, TrustError
from swarmboot.release.canary import EVERYBODY_PPM, Canary, is_mac_pattern, is_rack
from swarmboot.release.manifest import Manifest
from swarmboot.release.stage0 import stage0_images


@dataclass(frozen=True, slots=True)
class Set:
    """A canary as it stands, what it boots and what the rest boots, and whether anything changed."""

    canary: Canary
    manifest: Manifest
    others: Manifest
    is_new: bool


def chosen(*, share_ppm: int, racks: Sequence[str], macs: Sequence[str]) -> Canary:
    """Return whom a canary is for, of no fleet and channel yet; raise MalformedSettingError for nobody or no such."""
    patterns = tuple(dict.fromkeys(mac.lower().replace("-", ":") for mac in macs))
    for pattern in patterns:
        if not is_mac_pattern(pattern):
            example = "a MAC address, in which * and ? may stand, as in 52:54:00:*"
            raise MalformedSettingError("--mac is malformed", expected=example, found=repr(pattern[:80]))
    for rack in racks:
        if not is_rack(rack):
            raise MalformedSettingError("--rack is malformed", expected="a rack's name", found=repr(rack[:80]))
    if not (share_ppm or racks or patterns):
        raise MalformedSettingError("the canary is for nobody", expected="--share 5%, --rack R or --mac MAC")
    return Canary(
        fleet="", channel="", source="", macs=patterns, racks=tuple(dict.fromkeys(racks)), share_ppm=share_ppm
    )


def set_canary(
    writer: SiteWriter, signing: Signing, who: Canary, *, source: str, channel: str, now_unix_s: float
) -> Set:
    """Have whom `who` names boot what `source` points to in place of `channel`; another canary of that ends by it.

    Raises SiteError without such a channel, ThresholdError and trust errors as `promote` does, ReleaseError for what
    bare machines cannot boot, for another fleet's, and for a channel as its own canary.
    """
    if source == channel:
        raise ReleaseError(f"channel {channel} is no canary of itself", expected="another channel", found=source)
    keys = believed(writer.site, signing)
    found = pointed(writer.site, source, signing, keys).manifest
    others = pointed(writer.site, channel, signing, keys).manifest
    if found.fleet != others.fleet:
        raise ReleaseError(f"channel {source} is another fleet's", expected=f"fleet {others.fleet}", found=found.fleet)
    if not stage0_images(found):
        raise ReleaseError(
            f"what channel {source} has cannot be booted by a bare machine", expected="a kernel and an initramfs in it",
            found="none", hint="publish it with vmlinuz and initramfs.img",
        )  # fmt: skip
    check_whole(writer.site, found)
    canary = replace(who, fleet=found.fleet, channel=channel, source=source, issued_unix_s=int(now_unix_s))
    try:
        before = read_canary(writer.site, channel, keys)
    except (BlobError, TrustError):
        before = None  # it is written anew
    if before is not None and replace(before, issued_unix_s=canary.issued_unix_s) == canary:
        return Set(before, found, others, is_new=False)
    write_canary(writer, canary, signing.keys)
    return Set(canary, found, others, is_new=True)


def parse_share(text: str) -> int:
    """Return a share as in `5%` in millionths, more than none; raise MalformedSettingError."""
    number = text.strip().removesuffix("%").strip()
    try:
        share_ppm = round(float(number) * 10_000) if number.isascii() and number.replace(".", "", 1).isdecimal() else 0
    except ValueError:
        share_ppm = 0
    if not text.strip().endswith("%") or not 0 < share_ppm <= EVERYBODY_PPM:
        raise MalformedSettingError("not a share", expected="more than 0% and at most 100%, as in 5%", found=text[:80])
    return share_ppm
