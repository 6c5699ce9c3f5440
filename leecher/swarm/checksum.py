"""A whole image's SHA-256, taken while the image still arrives, so that little is left to read at the end.

The start of the file is read as soon as it is contiguous, after libtorrent has written out what it still holds in
memory. A digest that does not match in the end proves nothing yet: the file is then read once more, whole, and that
decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from swarmboot.ids import Digest
from swarmboot.release.manifest import Artifact
from swarmboot.release.piece_set import Pieces

_EVERY_S = 0.5
_READ_BYTES = 1 << 17


class RunningChecksum:
    """The SHA-256 of one image's file as far as it has been read."""

    def __init__(self, artifact: Artifact, path: Path) -> None:
        self._artifact = artifact
        self._path = path
        self._digest = hashlib.sha256()
        self._read_bytes = 0
        self._lock = trio.Lock()

    async def follow(self, have: Callable[[], Pieces], flush: Callable[[], Awaitable[None]]) -> None:
        """Read behind the pieces that arrive, until cancelled; `flush` returns when those there are on disk."""
        while True:
            await trio.sleep(_EVERY_S)
            end_bytes = _leading(have()) * self._artifact.piece_bytes
            if end_bytes > self._read_bytes:
                await flush()
                async with self._lock:
                    await trio.to_thread.run_sync(self._read_to, end_bytes)

    def _read_to(self, end_bytes: int) -> None:
        end_bytes = min(end_bytes, self._artifact.size_bytes)
        if end_bytes <= self._read_bytes:
            return
        self._read_bytes += _feed(self._digest, self._path, self._read_bytes, end_bytes)

    async def finish(self) -> Digest:
        """Return the whole file's SHA-256; every piece must have been verified and written."""
        async with self._lock:
            await trio.to_thread.run_sync(self._read_to, self._artifact.size_bytes)
            found = self._digest.digest()
            if found != self._artifact.sha256:
                found = await trio.to_thread.run_sync(_sha256, self._path)
        return Digest(found)


def _leading(have: Pieces) -> int:
    """Return how many pieces there are from the first on without a gap."""
    return (~have & (have + 1)).bit_length() - 1


def _sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    _feed(digest, path, 0, path.stat().st_size)
    return digest.digest()


def _feed(digest: hashlib._Hash, path: Path, start_bytes: int, end_bytes: int) -> int:
    """Give a digest this part of a file, and return how much of it there was; needs no memory but one small buffer."""
    buffer = memoryview(bytearray(_READ_BYTES))
    at_bytes = start_bytes
    with path.open("rb", buffering=0) as file:
        file.seek(start_bytes)
        while size_bytes := file.readinto(buffer[: end_bytes - at_bytes]):
            digest.update(buffer[:size_bytes])
            at_bytes += size_bytes
    return at_bytes - start_bytes
