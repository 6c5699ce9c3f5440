"""Brings a release's files into a site: each is hashed in the pass that copies it, and copied only if it is not there.

A file of which the site may hold the bytes already, because it holds a blob of that size, is hashed first.
"""

from __future__ import annotations

import hashlib

from seeder.publish.images.unpacked_size import unpacked_bytes
from seeder.publish.release_dir import Release, ReleaseFile
from seeder.publish.stage0 import read_kernel_version
from seeder.site.chunk_hasher import Take, beside
from seeder.site.progress import Progress
from seeder.site.torrent import Hashes, build_torrent, check_piece_bytes
from seeder.site.writer import SiteWriter, SourceFile, hash_source, source_file
from swarmboot.errors import ReleaseError, SwarmbootError
from swarmboot.ids import Digest
from swarmboot.release import layout
from swarmboot.release.chunks import MAX_CHUNKS, MIN_CHUNK_BYTES, encode_chunks
from swarmboot.release.manifest import Artifact, Pinned, Role
from swarmboot.release.piece_set import piece_bytes_for

MIN_CHUNKED_BYTES = 1 << 20
MAX_CHUNKED_BYTES = MAX_CHUNKS * MIN_CHUNK_BYTES


class Copier:
    """Copies one release into one site and counts the bytes that were copied and those that were there."""

    def __init__(self, writer: SiteWriter, *, piece_bytes: int, progress: Progress) -> None:
        self._writer = writer
        self._piece_bytes = piece_bytes
        self._progress = progress
        self.copied_bytes = 0
        self.reused_bytes = 0
        self.notes: list[str] = []

    def copy(self, release: Release) -> tuple[Artifact, ...]:
        """Return the release's artifacts once every blob and torrent of theirs is in the site.

        Raises SpaceError before copying if they do not fit, ChangedError if one of the files is not what it was when
        the copying began, and ReleaseError if two of them are the same bytes.
        """
        sources = [source_file(file.path, label=file.label) for file in release.files]
        for source in sources:
            check_piece_bytes(self._piece_bytes_for(source), size_bytes=source.size_bytes)
        missing = sum(source.size_bytes for source in sources if not self._writer.holds_size(source.size_bytes))
        self._writer.check_space(missing)
        pairs = zip(release.files, sources, strict=True)
        artifacts = [self._artifact(file, source, release.counted.get(source)) for file, source in pairs]
        for source in sources:
            source.check_unchanged()
        _check_distinct(release.files, artifacts)
        return tuple(artifacts)

    def _artifact(self, file: ReleaseFile, source: SourceFile, counted: int | None) -> Artifact:
        hashes, chunks = self._chunked(source) if _is_chunked(file, source) else (self._blob(source), None)
        torrent = build_torrent(hashes)
        path = layout.torrent_path(torrent.info_hash)
        if not self._writer.holds_bytes(path, torrent.data):
            self._writer.write(path, torrent.data)
        return Artifact(
            name=file.name,
            role=file.role,
            format=file.format,
            size_bytes=hashes.size_bytes,
            sha256=hashes.sha256,
            info_hash=torrent.info_hash,
            piece_bytes=hashes.piece_bytes,
            version=read_kernel_version(source.path) if file.role is Role.KERNEL else "",
            unpacked_bytes=self._unpacked_bytes(file) if counted is None else counted,
            chunks=chunks,
        )

    def _unpacked_bytes(self, file: ReleaseFile) -> int:
        """Return what the file takes once unpacked, or 0 with a note if that cannot be told."""
        try:
            return unpacked_bytes(file.path, file.format, label=file.label)
        except SwarmbootError as error:
            self.notes.append(f"nodes cannot count the RAM that {file.label} takes unpacked: {error}")
            return 0

    def _piece_bytes_for(self, source: SourceFile) -> int:
        return self._piece_bytes or piece_bytes_for(source.size_bytes)

    def _chunked(self, source: SourceFile) -> tuple[Hashes, Pinned]:
        """Bring a file into the site, and the list of its chunks, which is made in a thread in the same pass."""
        from seeder.publish.images.chunker import (
            Chunker,  # numpy takes a while to import, and small releases need none of it
        )

        chunker = Chunker()
        with beside(chunker.update) as also:
            hashes = self._blob(source, also)
        encoded = encode_chunks(chunker.finish())
        pinned = Pinned(Digest(hashlib.sha256(encoded).digest()), len(encoded))
        path = layout.blob_path(pinned.sha256)
        if not self._writer.holds_bytes(path, encoded):
            self._writer.write(path, encoded)
        return hashes, pinned

    def _blob(self, source: SourceFile, also: Take | None = None) -> Hashes:
        piece_bytes = self._piece_bytes_for(source)
        if self._writer.holds_size(source.size_bytes):
            with self._progress.task(source.label, source.size_bytes) as advance:
                hashes = hash_source(source, piece_bytes=piece_bytes, advance=advance, also=also)
            if self._writer.holds_blob(hashes):
                self.reused_bytes += source.size_bytes
                return hashes
            also = None  # it has seen the file
        self._writer.check_space(source.size_bytes)
        with self._progress.task(source.label, source.size_bytes) as advance:
            hashes = self._writer.copy_blob(source, piece_bytes=piece_bytes, advance=advance, also=also)
        self.copied_bytes += source.size_bytes
        return hashes


def _is_chunked(file: ReleaseFile, source: SourceFile) -> bool:
    """Return whether a list of its chunks is worth having; a small image is fetched sooner than it is put together."""
    return file.role in (Role.ROOT, Role.PLUGIN) and MIN_CHUNKED_BYTES <= source.size_bytes <= MAX_CHUNKED_BYTES


def _check_distinct(files: tuple[ReleaseFile, ...], artifacts: list[Artifact]) -> None:
    """Raise ReleaseError if two files are the same bytes: they would be one torrent under two names."""
    labels: dict[bytes, str] = {}
    for file, artifact in zip(files, artifacts, strict=True):
        if artifact.info_hash in labels:
            raise ReleaseError(
                f"{file.label} holds the same bytes as {labels[artifact.info_hash]}",
                hint="take one of them out; profiles may share a plugin by naming it",
            )
        labels[artifact.info_hash] = file.label
