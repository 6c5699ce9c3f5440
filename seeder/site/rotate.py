"""Change the keys of a fleet without rebuilding its nodes: the old keys sign the new, and everything is signed anew.

Follows TUF 1.0.33 section 6.1: a rotation is signed by the threshold of the old key set and of the new one. It will
not read a key file or a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from seeder.site.canaries import canary_channels, end_canary, read_canary, write_canary
from seeder.site.issue import check_known, issue
from seeder.site.reader import channel_names, read_channel
from seeder.site.signers import check_threshold, signer_ids
from seeder.site.writer import SiteWriter
from swarmboot.errors import BlobError, ReleaseError, TrustError
from swarmboot.release import layout, trust
from swarmboot.release.canary import Canary
from swarmboot.release.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did: the key set's version, and the manifests issued anew by channel."""

    version: int
    is_new: bool
    manifests: dict[str, Manifest]


def rotate(
    writer: SiteWriter,
    keys: Sequence[Ed25519PrivateKey],
    *,
    old: trust.KeySet,
    new: trust.KeySet,
    now_unix_s: float,
    is_reissued: bool = True,
) -> Rotated:
    """Make `new` the key set of the writer's site, and issue what its channels point to anew, signed by it.

    Without `is_reissued` the keys alone are changed: for channels that stolen keys have pointed elsewhere; canaries end
    by it. `old` is
    what nodes were built with. A rotation that was interrupted is completed. Raises ThresholdError if `keys` do not
    reach the threshold of the present key set and of the new one, and trust errors for a channel that the present keys
    did not sign.
    """
    present = trust.follow(old, layout.rotations(writer.site))
    is_new = (present.keys, present.threshold) != (new.keys, new.threshold)
    check_threshold(present, keys)
    check_threshold(new, keys)
    pointed = {name: read_channel(writer.site, name, old)[1] for name in channel_names(writer.site) if is_reissued}
    for found in pointed.values():
        check_known(found.manifest)
    canaries = _canaries(writer, present, is_kept=is_reissued)
    if is_new:
        present = _write_rotation(writer, keys, present, new)
    signing = [key for key in keys if signer_ids([key]) <= set(new.keys)]
    for canary in canaries:
        write_canary(writer, canary, signing)
    rotations = tuple(layout.rotations(writer.site))
    manifests = {
        name: issue(writer, _renewed(found.manifest, now_unix_s), name, signing)
        for name, found in pointed.items()
        if found.rotations != rotations
    }
    return Rotated(present.version, is_new, manifests)


def _canaries(writer: SiteWriter, present: trust.KeySet, *, is_kept: bool) -> list[Canary]:
    """Return the canaries that are to be signed anew; those that these keys did not sign, or all, are ended."""
    kept = []
    for channel in canary_channels(writer.site):
        try:
            canary = read_canary(writer.site, channel, present)
        except (BlobError, TrustError):
            canary = None
        if canary is not None and is_kept:
            kept.append(canary)
        else:
            end_canary(writer, channel)
    return kept


def _write_rotation(
    writer: SiteWriter, keys: Sequence[Ed25519PrivateKey], present: trust.KeySet, new: trust.KeySet
) -> trust.KeySet:
    if len(layout.rotations(writer.site)) >= trust.MAX_ROTATIONS:
        raise ReleaseError(
            "this site has been rotated as often as nodes can follow",
            expected=f"fewer than {trust.MAX_ROTATIONS} rotations",
            hint="rebuild the nodes with the newest keys, and publish with --new-keys",
        )
    rotated = replace(new, version=present.version + 1)
    signed = trust.sign(trust.Kind.KEYS, trust.encode_key_set(rotated), keys)
    writer.write(layout.keys_path(rotated.version), signed)
    return rotated


def _renewed(manifest: Manifest, now_unix_s: float) -> Manifest:
    life_s = manifest.expires_unix_s - manifest.issued_unix_s
    return replace(manifest, issued_unix_s=int(now_unix_s), expires_unix_s=int(now_unix_s) + life_s)
