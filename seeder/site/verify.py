"""Check a published site from the signatures down to the last piece, as a node would and then some.

It trusts only the public keys it is given: every channel is followed to its manifest, every blob is read whole, and
every torrent must describe exactly the bytes of its blob. It writes nothing and asks nobody.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from seeder.site.canaries import canary_channels, read_canary
from seeder.site.chunk_hasher import ChunkChecker, Take, beside
from seeder.site.progress import Progress
from seeder.site.reader import Pointed, channel_names, files_of, read_channel, read_site_file, read_unbelieved
from seeder.site.torrent import Hashes, build_torrent, info_hash_of, layer_of
from seeder.site.writer import hash_source, source_file
from swarmboot.crypto.fleet_token import SEALED_MAX_BYTES
from swarmboot.errors import BlobError, ManifestError
from swarmboot.ids import Digest
from swarmboot.release import freshness, layout, trust
from swarmboot.release.chunks import ChunkList, decode_chunks
from swarmboot.release.manifest import Artifact, Manifest, Pinned


@dataclass(frozen=True, slots=True)
class Verified:
    """A site in which everything is right. `notes` says what is there beside it."""

    channels: tuple[Pointed, ...]
    blobs: int
    checked_bytes: int
    notes: tuple[str, ...]


def verify_site(site: Path, trusted: trust.KeySet, *, channel: str, now_unix_s: float, progress: Progress) -> Verified:
    """Check one channel of the site, or all if `channel` is empty, and return what was checked.

    Raises SiteError for what is no site, trust errors for what the keys do not vouch for or what has expired, and
    BlobError for the first blob or torrent that is missing or altered; it names the others that are.
    """
    layout.check_site(site)
    names = [channel] if channel else channel_names(site)
    pointed = tuple(read_channel(site, name, trusted)[1] for name in names)
    for found in pointed:
        freshness.check_expiry(found.manifest, now_unix_s=now_unix_s, is_clock_right=True)
        freshness.check_pointer_expiry(found.channel, found.expires_unix_s, now_unix_s=now_unix_s, is_clock_right=True)
    artifacts = {artifact.info_hash: artifact for found in pointed for artifact in found.manifest.artifacts}
    faults = []
    for artifact in artifacts.values():
        try:
            _check_artifact(site, artifact, progress)
        except BlobError as error:
            faults.append(error)
    for digest in {digest for found in pointed for digest in found.manifest.sealed}:
        try:
            _check_secrets(site, digest)
        except BlobError as error:
            faults.append(error)
    for name in set(names) & set(canary_channels(site)):
        read_canary(site, name, read_channel(site, name, trusted)[0])
    if faults:
        raise _joined(faults)
    return Verified(
        channels=pointed,
        blobs=len({artifact.sha256 for artifact in artifacts.values()}),
        checked_bytes=sum(artifact.size_bytes for artifact in artifacts.values()),
        notes=tuple(_notes(site, [found.manifest for found in pointed], has_all_channels=not channel)),
    )


def _check_secrets(site: Path, digest: Digest) -> None:
    """Raise BlobError unless the sealed settings with this digest are there and unaltered."""
    relative = layout.secrets_path(digest)
    if not os.path.lexists(site / relative):
        raise BlobError(
            f"{site / relative} is missing", expected="secret settings, sealed for the fleet token", found="no file",
            hint="publish the release again, or, where the site was pulled, pull it with --fleet-token",
        )  # fmt: skip
    sealed = read_site_file(site, relative, most_bytes=SEALED_MAX_BYTES, too_large=BlobError)
    found = hashlib.sha256(sealed).hexdigest()
    if found != digest.hex():
        raise BlobError(
            f"{site / relative}, which are secret settings, holds other bytes", expected=f"sha256 {digest.hex()}",
            found=found, hint="publish the release again",
        )  # fmt: skip


def _joined(faults: list[BlobError]) -> BlobError:
    """Return the first fault, with a word on the others."""
    first, others = faults[0], len(faults) - 1
    hint = f"{others} more of its files are wrong; {first.hint}" if others else first.hint
    return BlobError(first.what, expected=first.expected, found=first.found, hint=hint)


def _check_artifact(site: Path, artifact: Artifact, progress: Progress) -> None:
    """Raise BlobError unless the artifact's blob and torrent are what its manifest says."""
    relative = layout.torrent_path(artifact.info_hash)
    torrent = read_site_file(site, relative, most_bytes=layout.TORRENT_MAX_BYTES, too_large=BlobError)
    found = info_hash_of(torrent, where=str(site / relative))
    if found != artifact.info_hash:
        raise BlobError(
            f"{site / relative} is another torrent than {artifact.name}'s",
            expected=f"info-hash {artifact.info_hash.hex()}",
            found=found.hex(),
            hint="delete the file and publish again",
        )
    chunks = read_chunks(site, artifact, artifact.chunks) if artifact.chunks else ChunkList((), b"")
    checker = ChunkChecker(chunks.lengths)
    with beside(checker.update) as also:
        hashes = _hash_blob(site, artifact, progress, also if artifact.chunks else None)
    layer, right_layer = layer_of(torrent), hashes.layer if len(hashes.layer) > 1 else ()
    is_same = hashes.sha256 == artifact.sha256 and build_torrent(hashes).info_hash == artifact.info_hash
    if is_same and layer != right_layer:
        raise BlobError(
            f"{site / relative} does not hold the hashes of {artifact.name}'s pieces",
            expected=f"{len(right_layer)} hashes",
            found=f"{len(layer)}, not the same",
            hint="delete the file and publish again",
        )
    if not is_same:
        raise BlobError(
            f"{site / layout.blob_path(artifact.sha256)}, which is {artifact.name}, holds other bytes",
            expected=f"sha256 {artifact.sha256.hex()}",
            found=f"{hashes.sha256.hex()}{_first_wrong_piece(hashes, layer)}",
            hint="delete the file and publish again",
        )
    if (found_chunks := checker.finish()) != chunks:
        wrong = [index for index, pair in enumerate(zip(found_chunks, chunks, strict=True)) if pair[0] != pair[1]]
        raise BlobError(
            f"the list of {artifact.name}'s chunks is another image's",
            expected=f"{len(chunks)} digests",
            found=f"wrong from chunk {wrong[0]} on",
            hint="publish the release again, with a version of swarmboot that makes them rightly",
        )


def read_chunks(site: Path, artifact: Artifact, pinned: Pinned) -> ChunkList:
    """Return the list of an artifact's chunks; raise BlobError unless it is the one that its manifest names."""
    relative = layout.blob_path(pinned.sha256)
    encoded = read_site_file(site, relative, most_bytes=pinned.size_bytes, too_large=BlobError)
    found = hashlib.sha256(encoded).hexdigest()
    if found != pinned.sha256.hex() or len(encoded) != pinned.size_bytes:
        raise BlobError(
            f"{site / relative}, which is the list of {artifact.name}'s chunks, holds other bytes",
            expected=f"sha256 {pinned.sha256.hex()}",
            found=found,
            hint="delete the file and publish again",
        )
    try:
        return decode_chunks(encoded, size_bytes=artifact.size_bytes)
    except ManifestError as error:
        raise BlobError(f"{site / relative}, which is signed: {error.what}", hint=error.hint) from error


def _hash_blob(site: Path, artifact: Artifact, progress: Progress, also: Take | None) -> Hashes:
    path = site / layout.blob_path(artifact.sha256)
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise BlobError(
            f"{path}, which is {artifact.name}, cannot be read",
            expected=f"{artifact.size_bytes} bytes",
            found=error.strerror or "",
            hint="publish the release again",
        ) from error
    if size_bytes != artifact.size_bytes:
        raise BlobError(
            f"{path}, which is {artifact.name}, has the wrong size",
            expected=f"{artifact.size_bytes} bytes",
            found=str(size_bytes),
            hint="publish the release again",
        )
    source = source_file(path, label=str(path))
    with progress.task(artifact.name, artifact.size_bytes) as advance:
        return hash_source(source, piece_bytes=artifact.piece_bytes, advance=advance, also=also)


def _first_wrong_piece(hashes: Hashes, layer: tuple[bytes, ...]) -> str:
    wrong = [index for index, pair in enumerate(zip(hashes.layer, layer, strict=False)) if pair[0] != pair[1]]
    return f", wrong from piece {wrong[0]} of {len(layer)} on" if wrong else ""


def _notes(site: Path, manifests: Iterable[Manifest], *, has_all_channels: bool) -> list[str]:
    """Return what the site holds that no channel points to."""
    pointed = {manifest.sequence for manifest in manifests}
    older = [number for number in layout.manifest_numbers(site) if number not in pointed]
    if not has_all_channels:
        return []
    wanted: set[str] = set()
    unreadable = []
    for number in (*pointed, *older):
        try:
            wanted |= files_of(read_unbelieved(site, number))
        except (BlobError, ManifestError):
            unreadable.append(f"manifests/{number}.swarm cannot be read, and no channel points to it")
    extra = [
        f"{folder}/{path.name} belongs to no manifest"
        for folder in ("blobs", "torrents", "secrets")
        for path in sorted((site / folder).glob("*"))
        if f"{folder}/{path.name}" not in wanted
    ]
    kept = [f"older manifests are kept, unchecked: {', '.join(str(number) for number in older)}"] if older else []
    return [*kept, *unreadable, *extra]
