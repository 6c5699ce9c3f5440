"""Puts pieces together out of a cache, in one thread: read, proved by the torrent's own hashes, and posted.

Whatever a cache holds, a piece leaves here only if it is the one that was signed (BEP 52). At most `AHEAD_BYTES` are on
their way at a time, or one piece.
"""

from __future__ import annotations

import hashlib
import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

from leecher.cache.folder import CacheFolder, name_of
from leecher.cache.plan import CopyPlan
from leecher.policy.events import Fact, PieceCopied
from swarmboot.ids import Digest, InfoHash, PieceIndex
from swarmboot.release.chunks import Copy
from swarmboot.release.manifest import Artifact
from swarmboot.release.merkle import BLOCK_BYTES, piece_root

AHEAD_BYTES = 8 << 20
_MISSES_MAX = 64
"""After so many pieces in a row that were not what they should be, the rest is not tried."""

ReadAt = Callable[[int, int, int], bytes]
"""Reads as os.pread does: descriptor, how many bytes, at which byte."""


class CacheReader:
    """Reads the pieces of `order` as the plan says, and posts a PieceCopied for each, from its own thread.

    `layers` returns the hashes of an artifact's pieces. `done` is to be called with the size of each piece that was
    posted with data, once it counts or does not: then there is room for another. It closes the plan's folder.
    """

    def __init__(
        self,
        plan: CopyPlan,
        artifacts: Mapping[InfoHash, Artifact],
        layers: Callable[[InfoHash], tuple[bytes, ...]],
        order: Iterable[tuple[InfoHash, PieceIndex]],
        *,
        post: Callable[[Fact], None],
        read: ReadAt = os.pread,
    ) -> None:
        self._plan = plan
        self._artifacts = dict(artifacts)
        self._layers = layers
        self._order = order
        self._post = post
        self._read = read
        self._under_way_bytes = 0
        self._unwanted: set[tuple[InfoHash, int]] = set()
        self._is_closed = False
        self._room = threading.Condition()

    def begin(self) -> None:
        """Start reading."""
        threading.Thread(target=self._run, name="cache", daemon=True).start()

    def skip(self, info_hash: InfoHash, index: int) -> None:
        """Do not read a piece that has come from elsewhere."""
        self._unwanted.add((info_hash, index))

    def done(self, size_bytes: int) -> None:
        """Take it that so many bytes are on their way no more."""
        with self._room:
            self._under_way_bytes -= size_bytes
            self._room.notify()

    def close(self) -> None:
        """Read nothing further."""
        with self._room:
            self._is_closed = True
            self._room.notify()

    def _run(self) -> None:
        layers: dict[InfoHash, tuple[bytes, ...]] = {}
        misses = 0
        with ExitStack() as files:
            files.callback(self._plan.folder.close)
            sources = _Sources(self._plan.folder, files, self._read)
            for h, index in self._order:
                artifact = self._artifacts[h]
                if h not in layers:
                    layers[h] = self._layers(h)
                first_byte = index * artifact.piece_bytes
                size_bytes = min(artifact.piece_bytes, artifact.size_bytes - first_byte)
                if not self._wait_for_room(size_bytes):
                    return
                data = (
                    None if (h, index) in self._unwanted else sources.read(self._plan.copies[h], first_byte, size_bytes)
                )
                if data is not None and hash_of(data, artifact) != layers[h][index]:
                    data = None
                if data is None:
                    self.done(size_bytes)
                misses = misses + 1 if data is None and (h, index) not in self._unwanted else 0
                self._post(PieceCopied(h, index, data, is_last=misses == _MISSES_MAX))
                if misses == _MISSES_MAX:
                    return

    def _wait_for_room(self, size_bytes: int) -> bool:
        """Return whether to go on, once there is room for a piece."""

        def has_room() -> bool:
            under_way_bytes = self._under_way_bytes
            return self._is_closed or not under_way_bytes or under_way_bytes + size_bytes <= AHEAD_BYTES

        with self._room:
            self._room.wait_for(has_room)
            self._under_way_bytes += size_bytes
            return not self._is_closed


class _Sources:
    """The files of a cache, each opened when it is first read."""

    def __init__(self, folder: CacheFolder, files: ExitStack, read: ReadAt) -> None:
        self._folder = folder
        self._files = files
        self._read = read
        self._open: dict[Digest, int | None] = {}

    def read(self, parts: tuple[Copy[Digest], ...], first_byte: int, size_bytes: int) -> bytes | None:
        """Return so many bytes of an image that lie whole in `parts`; None if they cannot be read."""
        at, end = first_byte, first_byte + size_bytes
        number = bisect_right(parts, first_byte, key=lambda part: part.first_byte) - 1
        found = []
        try:
            while at < end:
                part = parts[number]
                count = min(end, part.first_byte + part.size_bytes) - at
                descriptor = self._descriptor(part.source)
                data = self._read(descriptor, count, part.source_first_byte + at - part.first_byte)
                if len(data) != count:
                    return None
                found.append(data)
                at, number = at + count, number + 1
        except OSError:
            return None
        return b"".join(found)

    def _descriptor(self, source: Digest) -> int:
        if source not in self._open:
            self._open[source] = None
            self._open[source] = self._files.enter_context(self._folder.open(name_of(source)))
        descriptor = self._open[source]
        if descriptor is None:
            raise FileNotFoundError(name_of(source))
        return descriptor


def hash_of(data: bytes, artifact: Artifact) -> bytes:
    """Return a piece's hash as the torrent's layer has it; of an image of one piece, which has no layer, the root."""
    view = memoryview(data)
    blocks = [hashlib.sha256(view[at : at + BLOCK_BYTES]).digest() for at in range(0, len(data), BLOCK_BYTES)]
    return piece_root(blocks, len(blocks) if artifact.pieces == 1 else artifact.piece_bytes // BLOCK_BYTES)
