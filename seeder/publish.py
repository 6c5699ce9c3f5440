"""Publish a release: hash and copy its files into a site, and sign the manifest that binds them.

Order is what makes it safe: blobs, torrents, the manifest, and only then the channel that points to it. A publish that
is killed before the last rename has changed nothing that a node can see. It will not read a key file or a clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from seeder.progress import Progress
from seeder.release import Release
from seeder.signers import check_signers, signer_ids
from seeder.site_writer import SiteWriter, SourceFile, hash_source, read_site_file, source_file
from seeder.torrent import Hashes, build_torrent, check_piece_bytes, piece_bytes_for
from swarmboot import ids, trust
from swarmboot import site as layout
from swarmboot.errors import BlobError, ManifestError, ReleaseError
from swarmboot.manifest import Artifact, Manifest, decode, encode
from swarmboot.profile import select

DEFAULT_FLEET = "swarmboot"
DEFAULT_LIFE_S = 365 * 86400.0
_RENEW_BELOW = 1 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOptions:
    """How to publish. `life_s` is how long the manifest may be booted; None keeps what the channel has, or a year.

    `fleet` is empty for the site's own; `piece_bytes` is 0 to choose by size; `trust` is the key set that nodes are
    built with, if it is known; `has_new_keys` allows keys that are not the site's.
    """

    channel: str = layout.DEFAULT_CHANNEL
    fleet: str = ""
    life_s: float | None = None
    piece_bytes: int = 0
    trust: trust.KeySet | None = None
    has_new_keys: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a publish did. `is_new` is false if the channel pointed to the same release already. Sizes in bytes.

    `images_bytes` maps each profile's name, the empty one for no profile, to the bytes its nodes hold as images.
    """

    manifest: Manifest
    channel: str
    is_new: bool
    copied_bytes: int
    reused_bytes: int
    images_bytes: Mapping[str, int]
    signers: tuple[ids.KeyId, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Current:
    """What a channel points to now: the manifest and its file's signers, and the channel file's bytes."""

    manifest: Manifest
    signers: frozenset[ids.KeyId]
    rotations: tuple[bytes, ...]


def publish(
    release: Release,
    keys: Sequence[Ed25519PrivateKey],
    *,
    writer: SiteWriter,
    options: PublishOptions,
    now_unix_s: float,
    progress: Progress,
) -> Published:
    """Put the release into the writer's site, signed by `keys`, and point the channel to it.

    Raises ThresholdError for keys that nodes of this site would not believe, SpaceError, ChangedError and
    UnreadableError as the copying meets them, and ReleaseError for a release that no manifest can describe.
    """
    check_signers(writer.site, keys, trusted=options.trust, has_new_keys=options.has_new_keys)
    copier = _Copier(writer, options.piece_bytes, progress)
    artifacts = copier.copy(release)
    current = read_current(writer.site, options.channel)
    sequence = next_sequence(writer.site)
    manifest = _manifest(release, artifacts, options=options, current=current, sequence=sequence, now_unix_s=now_unix_s)
    signers, rotations = signer_ids(keys), layout.rotations(writer.site)
    is_new = current is None or not _is_still_good(
        current, manifest, signers=signers, rotations=rotations, life_s=options.life_s
    )
    if is_new:
        issue(writer, manifest, options.channel, keys)
    kept = manifest if is_new or current is None else current.manifest
    return Published(
        manifest=kept,
        channel=options.channel,
        is_new=is_new,
        copied_bytes=copier.copied_bytes,
        reused_bytes=copier.reused_bytes,
        images_bytes=images_bytes(kept),
        signers=tuple(sorted(signers)),
        notes=release.notes,
    )


def issue(writer: SiteWriter, manifest: Manifest, channel: str, keys: Sequence[Ed25519PrivateKey]) -> None:
    """Sign and write the manifest, then the channel that points to it."""
    payload = encode(manifest)
    try:
        decode(payload)
    except ManifestError as error:
        raise ReleaseError("the release does not fit into a manifest", found=str(error.__cause__)) from error
    signed = trust.sign(trust.Kind.MANIFEST, payload, keys)
    writer.write(layout.manifest_path(manifest.sequence), signed)
    pointer = trust.Channel(manifest.fleet, channel, manifest.sequence, hashlib.sha256(signed).digest())
    signed_pointer = trust.sign(trust.Kind.CHANNEL, trust.encode_channel(pointer), keys)
    channel_file = trust.encode_channel_file(signed_pointer, layout.rotations(writer.site))
    writer.write(layout.channel_path(channel), channel_file)


class _Copier:
    """Hashes a release's files and brings those that the site lacks into it."""

    def __init__(self, writer: SiteWriter, piece_bytes: int, progress: Progress) -> None:
        self._writer = writer
        self._piece_bytes = piece_bytes
        self._progress = progress
        self.copied_bytes = 0
        self.reused_bytes = 0

    def copy(self, release: Release) -> tuple[Artifact, ...]:
        """Return the release's artifacts once every blob and torrent of theirs is in the site."""
        sources = [source_file(file.path, label=file.label) for file in release.files]
        for source in sources:
            check_piece_bytes(self._piece_bytes_for(source), size_bytes=source.size_bytes)
        missing = sum(source.size_bytes for source in sources if not self._writer.holds_size(source.size_bytes))
        self._writer.check_space(missing)
        artifacts = []
        for file, source in zip(release.files, sources, strict=True):
            hashes = self._blob(source)
            torrent = build_torrent(hashes)
            self._torrent(layout.torrent_path(torrent.info_hash), torrent.data)
            artifacts.append(
                Artifact(
                    name=file.name,
                    role=file.role,
                    format=file.format,
                    size_bytes=hashes.size_bytes,
                    sha256=hashes.sha256,
                    info_hash=torrent.info_hash,
                    piece_bytes=hashes.piece_bytes,
                )
            )
        for source in sources:
            source_file(source.path, label=source.label)
            source.check_unchanged(source.path.stat())
        return tuple(artifacts)

    def _piece_bytes_for(self, source: SourceFile) -> int:
        return self._piece_bytes or piece_bytes_for(source.size_bytes)

    def _blob(self, source: SourceFile) -> Hashes:
        piece_bytes = self._piece_bytes_for(source)
        if self._writer.holds_size(source.size_bytes):
            with self._progress.task(source.label, source.size_bytes) as advance:
                hashes = hash_source(source, piece_bytes=piece_bytes, advance=advance)
            if self._writer.holds_blob(hashes):
                self.reused_bytes += source.size_bytes
                return hashes
        self._writer.check_space(source.size_bytes)
        with self._progress.task(source.label, source.size_bytes) as advance:
            hashes = self._writer.copy_blob(source, piece_bytes=piece_bytes, advance=advance)
        self.copied_bytes += source.size_bytes
        return hashes

    def _torrent(self, relative: str, data: bytes) -> None:
        path = self._writer.path(relative)
        if not path.is_file() or path.read_bytes() != data:
            self._writer.write(relative, data)


def read_current(site: Path, channel: str) -> _Current | None:
    """Return what the channel points to, believed because the site is ours; None if there is nothing usable."""
    path = site / layout.channel_path(channel)
    if not path.is_file():
        return None
    try:
        pointer, rotations = trust.split_channel_file(path.read_bytes())
        target = trust.decode_channel(trust.open_envelope(pointer, trust.Kind.CHANNEL).payload)
        data = read_site_file(site, layout.manifest_path(target.sequence), most_bytes=trust.ENVELOPE_MAX_BYTES)
        envelope = trust.open_envelope(data, trust.Kind.MANIFEST)
        if hashlib.sha256(data).digest() != target.manifest_sha256:
            return None
        return _Current(decode(envelope.payload), frozenset(envelope.signatures), rotations)
    except (ManifestError, BlobError):
        return None


def _manifest(
    release: Release,
    artifacts: tuple[Artifact, ...],
    *,
    options: PublishOptions,
    current: _Current | None,
    sequence: ids.Sequence,
    now_unix_s: float,
) -> Manifest:
    life_s = options.life_s or (
        current.manifest.expires_unix_s - current.manifest.issued_unix_s if current else DEFAULT_LIFE_S
    )
    return Manifest(
        fleet=options.fleet or (current.manifest.fleet if current else DEFAULT_FLEET),
        name=release.name,
        sequence=sequence,
        issued_unix_s=int(now_unix_s),
        expires_unix_s=int(now_unix_s + life_s),
        artifacts=artifacts,
        cmdline=release.settings.cmdline,
        env=release.env,
        profiles=release.settings.profiles,
        allow=release.settings.allow,
    )


def next_sequence(site: Path) -> ids.Sequence:
    """Return the number that follows the site's highest."""
    return ids.Sequence(max(layout.manifest_numbers(site), default=0) + 1)


def _is_still_good(
    current: _Current,
    wanted: Manifest,
    *,
    signers: frozenset[ids.KeyId],
    rotations: Sequence[bytes],
    life_s: float | None,
) -> bool:
    """Return whether the manifest that the channel points to says what is wanted and is far from expiring."""
    old = current.manifest
    same = replace(wanted, sequence=old.sequence, issued_unix_s=old.issued_unix_s, expires_unix_s=old.expires_unix_s)
    old_life_s = old.expires_unix_s - old.issued_unix_s
    left_s = old.expires_unix_s - wanted.issued_unix_s
    return (
        same == old
        and current.signers == signers
        and current.rotations == tuple(rotations)
        and (life_s is None or int(life_s) == old_life_s)
        and left_s >= old_life_s * _RENEW_BELOW
    )


def images_bytes(manifest: Manifest) -> dict[str, int]:
    """Return the bytes of images that a node of each profile holds; the empty name stands for no profile."""
    names = ["", *(profile.name for profile in manifest.profiles)]
    return {name: select(manifest, name=name).size_bytes for name in names}
