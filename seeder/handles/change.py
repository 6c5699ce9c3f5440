"""Points a channel to a release that is in the site already: back to an older one, or to what another channel has.

Nothing of a release is copied or made anew but its manifest. What is signed is only what the keys at hand have signed
before: a site lies on a server, and whoever may write there must not have words put into a signer's mouth.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from seeder.handles.choice import before, is_pointed_to, is_same, renewed
from seeder.site.canaries import end_canary, read_canary
from seeder.site.issue import issue, point
from seeder.site.reader import (
    Pointed,
    all_vouched,
    channel_names,
    files_of,
    read_channel,
    read_own_channel,
    read_vouched,
)
from seeder.site.signers import check_signers, own_keys, shown_ids
from seeder.site.writer import SiteWriter
from swarmboot.errors import BlobError, ReleaseError, ThresholdError, TrustError
from swarmboot.ids import Sequence
from swarmboot.release import layout, trust
from swarmboot.release.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs, whom nodes are built to believe if that is known, and how long the pointer is good for, if it ends."""

    keys: Many[Ed25519PrivateKey]
    trusted: trust.KeySet | None = None
    pointer_life_s: float | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """What a channel points to now. `origin` is the number of the release that this is; `is_new` whether it changed.

    `canary` is whom the canary that ended by it was for, empty if none did.
    """

    channel: str
    manifest: Manifest
    origin: Sequence
    is_new: bool
    canary: str = ""


def roll_back(writer: SiteWriter, signing: Signing, *, channel: str, to: Sequence | None, now_unix_s: float) -> Moved:
    """Have a channel go back to release `to`, or to the one before, under the next number.

    Raises SiteError without such a channel, ThresholdError for keys that nodes would not believe, trust errors for what
    these have not signed, ReleaseError if there is nothing to go back to, and BlobError if parts of it are gone.
    """
    keys = believed(writer.site, signing)
    current = pointed(writer.site, channel, signing, keys)
    known = all_vouched(writer.site, keys)
    if to is None:
        to = before(current.manifest, known, channels=len(channel_names(writer.site)))
    wanted = known.get(to) or read_vouched(writer.site, to, keys)
    if is_same(wanted, current.manifest):
        return Moved(channel, current.manifest, to, is_new=False)
    end_unix_s = _pointer_end(current, signing, now_unix_s)
    check_whole(writer.site, wanted)
    issued = issue(writer, renewed(wanted, now_unix_s=now_unix_s), channel, signing.keys, end_unix_s)
    return Moved(channel, issued, to, is_new=True)


def promote(writer: SiteWriter, signing: Signing, *, source: str, target: str, now_unix_s: float) -> Moved:
    """Point the channel `target` to what `source` has: to the same manifest, or to one issued anew if it must be.

    Raises what `roll_back` does, and ReleaseError if the two are of different fleets.
    """
    keys = believed(writer.site, signing)
    found = pointed(writer.site, source, signing, keys).manifest
    is_there = target in channel_names(writer.site)
    current = pointed(writer.site, target, signing, keys) if is_there else None
    if current is not None and current.manifest.fleet != found.fleet:
        raise ReleaseError(
            f"channel {target} is another fleet's", expected=f"fleet {found.fleet}", found=current.manifest.fleet
        )
    if current is not None and is_same(found, current.manifest):
        ended = _end_canary(writer, source=source, target=target)
        return Moved(target, current.manifest, found.sequence, is_new=False, canary=ended)
    end_unix_s = _pointer_end(current, signing, now_unix_s)
    check_whole(writer.site, found)
    if is_pointed_to(found, current.manifest if current else None, now_unix_s=now_unix_s):
        point(writer, found, target, signing.keys, expires_unix_s=end_unix_s)
        issued = found
    else:
        issued = issue(writer, renewed(found, now_unix_s=now_unix_s), target, signing.keys, end_unix_s)
    ended = _end_canary(writer, source=source, target=target)
    return Moved(target, issued, found.sequence, is_new=True, canary=ended)


def _end_canary(writer: SiteWriter, *, source: str, target: str) -> str:
    """End the canary of `target` if it boots `source`, which all boot now; return whom it was for, empty for none."""
    try:
        canary = read_canary(writer.site, target, None)
    except (BlobError, TrustError):
        return ""  # it is not this one's to judge: `verify` names it
    if canary is None or canary.source != source:
        return ""
    end_canary(writer, target)
    return canary.who


def believed(site: Path, signing: Signing) -> trust.KeySet:
    """Return the key set that must have signed what is signed again: the nodes', or all of the keys at hand."""
    check_signers(site, signing.keys, trusted=signing.trusted)
    if signing.trusted is not None:
        return trust.follow(signing.trusted, layout.rotations(site))
    own = own_keys(signing.keys)
    return trust.key_set(own.keys.values(), threshold=len(own.keys))


def pointed(site: Path, channel: str, signing: Signing, believed: trust.KeySet) -> Pointed:
    """Return what a channel points to; raise SiteError without such a channel, trust errors for other keys' words."""
    if signing.trusted is not None or channel not in channel_names(site):
        return read_channel(site, channel, signing.trusted or believed)[1]
    found = read_own_channel(site, channel, believed)
    if found is None:
        raise ThresholdError(
            f"channel {channel} of {site} was not signed by all of these keys, or is not whole",
            expected="what all keys given have signed, or --trust PUB, the keys that nodes are built with",
            found=shown_ids(believed.keys),
        )
    return found


def check_whole(site: Path, manifest: Manifest) -> None:
    """Raise BlobError if a file of a release is no longer in the site at its full size."""
    for artifact in manifest.artifacts:
        path = site / layout.blob_path(artifact.sha256)
        if not path.is_file() or path.stat().st_size != artifact.size_bytes:
            raise BlobError(
                f"release {manifest.sequence} is not whole any more: {artifact.name} is gone or cut off",
                expected=f"{path} of {artifact.size_bytes} bytes",
                hint="publish its folder again",
            )
    for relative in sorted(files_of(manifest)):
        if not (site / relative).is_file():
            raise BlobError(
                f"release {manifest.sequence} is not whole any more: {site / relative} is gone",
                hint="publish its folder again",
            )


def _pointer_end(current: Pointed | None, signing: Signing, now_unix_s: float) -> int:
    """Return when the pointer ends, 0 for never; raise ReleaseError if one that ended would silently end no more."""
    if signing.pointer_life_s is not None:
        return int(now_unix_s + signing.pointer_life_s)
    if current is not None and current.expires_unix_s:
        raise ReleaseError(
            f"the pointer of channel {current.channel} has an end, as publish --pointer-expires gave it",
            expected="--pointer-expires DURATION",
            found="none",
        )
    return 0
