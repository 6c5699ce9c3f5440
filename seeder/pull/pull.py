"""Bring a site from another seeder: verified as nodes verify, written in a publish's order, and only what lacks.

Promises are read and believed first, nothing is written for one that is not. Then blobs, torrents and sealed settings,
manifests, key sets, and the channels last of all: a pull that is stopped has changed nothing that a node can see. It
signs nothing and needs no key but the public ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seeder.pull.assembly import FOLDER, Assembly, Brought
from seeder.pull.client import Remote
from seeder.pull.promise import Promise, read_promise, was_at
from seeder.site.issue import note_leaving
from seeder.site.progress import Progress
from seeder.site.reader import read_unbelieved
from seeder.site.torrent import info_hash_of, layer_of
from seeder.site.writer import SiteWriter, writing
from swarmboot.crypto.fleet_token import FleetToken
from swarmboot.errors import ArtifactError, BlobError, ManifestError
from swarmboot.ids import Digest
from swarmboot.ids import Sequence as Number
from swarmboot.release import layout, trust
from swarmboot.release.chunks import ChunkList, decode_chunks
from swarmboot.release.manifest import Artifact, Pinned

_MAX_OLD_IMAGES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOptions:
    """What to pull: these channels, or all that the other server names; `token` is for sealed settings."""

    trusted: trust.KeySet
    channels: tuple[str, ...] = ()
    token: FleetToken | None = None


@dataclass(slots=True)
class Pulled:
    """What a pull did. `was` has each channel's number before, 0 for none. Sizes in bytes."""

    promises: tuple[Promise, ...]
    was: dict[str, Number]
    images: list[Brought] = field(default_factory=list)
    small_bytes: int = 0
    is_new: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def fetched_bytes(self) -> int:
        """Return what was fetched, documents included."""
        return self.small_bytes + sum(image.fetched_bytes for image in self.images)

    @property
    def copied_bytes(self) -> int:
        """Return what was copied from images that were here."""
        return sum(image.copied_bytes for image in self.images)


def pull(remote: Remote, site: Path, options: PullOptions, *, now_unix_s: float, progress: Progress) -> Pulled:
    """Bring the other site's channels into `site`, and all that they point to.

    Raises TransferError for what does not come, TrustError for what the keys do not vouch for or what would be a step
    back, ArtifactError and BlobError for what is not what was signed, SpaceError, and SiteBusyError while another
    writes there.
    """
    names, notes = _channels(remote, options)
    promises = tuple(read_promise(remote, name, options.trusted, now_unix_s=now_unix_s) for name in names)
    for promise in promises:
        was_at(site, promise, options.trusted)
    with writing(site) as writer:
        was = {promise.target.name: was_at(site, promise, options.trusted) for promise in promises}
        pulled = Pulled(promises, was, notes=notes)
        _Pull(remote, writer, options, pulled, progress).run()
    return pulled


def _channels(remote: Remote, options: PullOptions) -> tuple[tuple[str, ...], list[str]]:
    """Return the names of the channels to pull, and what there is to say of them."""
    if options.channels:
        return options.channels, []
    if named := remote.channels():
        return named, []
    return (layout.DEFAULT_CHANNEL,), [
        f"{remote.url} does not say which channels it has: only {layout.DEFAULT_CHANNEL} is pulled, without --channel"
    ]


class _Pull:
    """One pull under way, with the writer of the site that it goes to."""

    def __init__(
        self, remote: Remote, writer: SiteWriter, options: PullOptions, pulled: Pulled, progress: Progress
    ) -> None:
        self._remote, self._writer, self._options = remote, writer, options
        self._pulled, self._progress = pulled, progress

    def run(self) -> None:
        """Bring everything, channels last."""
        manifests = [promise.manifest for promise in self._pulled.promises]
        artifacts = {each.sha256: each for manifest in manifests for each in manifest.artifacts}
        for artifact in artifacts.values():
            self._image(artifact)
        for digest in {digest: None for manifest in manifests for digest in manifest.sealed}:
            self._secrets(digest)
        for promise in self._pulled.promises:
            self._put(promise.manifest_path, promise.manifest_file)
            for rotation in promise.pointed.rotations:
                version = trust.decode_key_set(trust.open_envelope(rotation, trust.Kind.KEYS).payload).version
                self._put(layout.keys_path(version), rotation)
        for promise in self._pulled.promises:
            if not self._writer.holds_bytes(promise.channel_path, promise.channel_file):
                note_leaving(self._writer, promise.target.name)
            self._put(promise.channel_path, promise.channel_file)
        self._tidy()

    def _put(self, path: str, data: bytes) -> None:
        """Write a small file, unless it is there."""
        if not self._writer.holds_bytes(path, data):
            self._writer.write(path, data)
            self._pulled.is_new = True

    def _image(self, artifact: Artifact) -> None:
        layer = self._torrent(artifact)
        chunks = self._list(artifact, artifact.chunks) if artifact.chunks else None
        blob = self._writer.path(layout.blob_path(artifact.sha256))
        if blob.is_file() and blob.stat().st_size == artifact.size_bytes:
            return
        olds = dict(self._olds(artifact)) if chunks else {}
        with self._progress.task(artifact.name, artifact.size_bytes) as advance:
            self._pulled.images.append(
                Assembly(self._writer, self._remote, artifact, layer).bring(chunks, olds, advance)
            )
        self._pulled.is_new = True

    def _torrent(self, artifact: Artifact) -> Sequence[bytes]:
        """Return the hashes of an image's pieces, its torrent brought if it is not here, or not right."""
        path = layout.torrent_path(artifact.info_hash)
        here = self._writer.path(path)
        try:
            if here.is_file() and info_hash_of(data := here.read_bytes(), where=str(here)) == artifact.info_hash:
                return layer_of(data)
        except BlobError:
            pass  # it is brought anew
        data = self._document(path, 64 * artifact.pieces + 65536)
        found = info_hash_of(data, where=f"{self._remote.url}/{path}")
        if found != artifact.info_hash:
            what = f"{self._remote.url}/{path} is another torrent than {artifact.name}'s"
            raise ArtifactError(what, expected=artifact.info_hash.hex(), found=found.hex())
        self._put(path, data)
        return layer_of(data)

    def _list(self, artifact: Artifact, pinned: Pinned) -> ChunkList | None:
        """Return an image's list of chunks, brought if it is not here; None, with a note, if what is signed is none."""
        path = layout.blob_path(pinned.sha256)
        here = self._writer.path(path)
        data = here.read_bytes() if here.is_file() and here.stat().st_size == pinned.size_bytes else b""
        if hashlib.sha256(data).digest() != pinned.sha256:
            data = self._document(path, pinned.size_bytes)
            self._check(data, pinned.sha256, path, f"the list of {artifact.name}'s chunks")
            self._put(path, data)
        try:
            return decode_chunks(data, size_bytes=artifact.size_bytes)
        except ManifestError as error:
            self._pulled.notes.append(f"{artifact.name} is fetched in whole: {error.what}")
            return None

    def _secrets(self, digest: Digest) -> None:
        path = layout.secrets_path(digest)
        if self._writer.path(path).is_file():
            return
        if self._options.token is None:
            note = "secret settings stay behind: nodes that ask this site for them will get none without --fleet-token"
            if note not in self._pulled.notes:
                self._pulled.notes.append(note)
            return
        data = self._remote.secrets(digest, self._options.token)
        self._pulled.small_bytes += len(data)
        self._check(data, digest, path, "sealed settings")
        self._put(path, data)

    def _document(self, path: str, max_bytes: int) -> bytes:
        data = self._remote.document(path, max_bytes=max_bytes)
        self._pulled.small_bytes += len(data)
        return data

    def _check(self, data: bytes, digest: bytes, path: str, what: str) -> None:
        found = hashlib.sha256(data)
        if found.digest() != digest:
            raise ArtifactError(
                f"{self._remote.url}/{path}, which is {what}, holds other bytes than were signed",
                expected=f"sha256 {digest.hex()}", found=found.hexdigest(), hint="run `swarmboot verify` on that site",
            )  # fmt: skip

    def _olds(self, artifact: Artifact) -> Iterator[tuple[Path, ChunkList]]:
        """Yield images that are here with their lists: those of the same name first, and the newest."""
        found: dict[Path, tuple[Artifact, Pinned]] = {}
        for number in reversed(layout.manifest_numbers(self._writer.site)):
            try:
                olds = read_unbelieved(self._writer.site, number).artifacts
            except (BlobError, ManifestError):
                continue
            for old in olds:
                blob = self._writer.path(layout.blob_path(old.sha256))
                if old.chunks is not None and blob.is_file():
                    found.setdefault(blob, (old, old.chunks))
        nearest = sorted(found.items(), key=lambda item: item[1][0].name != artifact.name)
        for blob, (old, pinned) in nearest[:_MAX_OLD_IMAGES]:
            try:
                data = self._writer.path(layout.blob_path(pinned.sha256)).read_bytes()
                yield blob, decode_chunks(data, size_bytes=old.size_bytes)
            except (OSError, ManifestError):
                continue

    def _tidy(self) -> None:
        """Take away what earlier pulls, stopped and overtaken by a newer release, have left."""
        folder = self._writer.path(FOLDER)
        for left_over in folder.iterdir() if folder.is_dir() else ():
            left_over.unlink()
