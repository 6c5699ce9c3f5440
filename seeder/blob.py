"""A site's file as an HTTP response: what the page cache holds goes out at once, the rest is read in a thread.

An asynchronous file costs a hop to a thread and back for every chunk, more than encrypting it. The kernel says instead
whether a read would block (preadv2(2), RWF_NOWAIT), and only then a thread waits for the disk. It will not decide when
a chunk may go; that is `seeder.pacer`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from seeder.pacer import Pacer

LEAST_CHUNK_BYTES = 1 << 14
MOST_CHUNK_BYTES = 1 << 18
CHUNK_S = 0.01
"""How long one response may keep the uplink before the next has its turn."""

READ_AHEAD_BYTES = 1 << 18
"""How much a thread reads at a time where the kernel cannot say what is in memory."""


def chunk_bytes_for(uplink_bytes_per_s: float) -> int:
    """Return how many bytes a response sends at a turn: 10 ms of the uplink, a TLS record at least, a power of two."""
    wanted = min(MOST_CHUNK_BYTES, max(LEAST_CHUNK_BYTES, int(uplink_bytes_per_s * CHUNK_S)))
    return 1 << (wanted.bit_length() - 1)


def file_status(path: Path) -> os.stat_result | None:
    """Return what stat(2) says of a regular file, None of anything else; without a hop to a thread, as it is cached."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


class BlobFile:
    """One open file, read from where it was sought to."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._place = 0
        self._ahead = b""

    async def seek(self, place: int) -> None:
        """Read from this byte on."""
        self._place, self._ahead = place, b""

    async def read(self, size_bytes: int) -> bytes:
        """Return the next `size_bytes`, fewer only at the file's end."""
        if not self._ahead:
            cached = self._read_cached(size_bytes)
            if len(cached) == size_bytes:
                self._place += size_bytes
                return cached
        while len(self._ahead) < size_bytes:
            place = self._place + len(self._ahead)
            got = await trio.to_thread.run_sync(os.pread, self._descriptor, READ_AHEAD_BYTES, place)
            if not got:
                break
            self._ahead += got
        chunk, self._ahead = self._ahead[:size_bytes], self._ahead[size_bytes:]
        self._place += len(chunk)
        return chunk

    def _read_cached(self, size_bytes: int) -> bytes:
        chunk = bytearray(size_bytes)
        try:
            got = os.preadv(self._descriptor, [chunk], self._place, os.RWF_NOWAIT)
        except OSError:  # EAGAIN: not in memory; EOPNOTSUPP: this file system cannot tell
            return b""
        return bytes(chunk) if got == size_bytes else b""

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class BlobResponse(FileResponse):
    """A file response that takes its turns on the uplink, chunk by chunk, and counts what it sends."""

    pacer: Pacer
    count: Callable[[int], None]

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[BlobFile]:  # type: ignore[override]
        file = BlobFile(Path(self.path))
        try:
            yield file
        finally:
            file.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or the ranges asked for."""

        async def paced_send(message: Message) -> None:
            size_bytes = len(message.get("body", b""))
            await self.pacer.take(size_bytes)
            self.count(size_bytes)
            await send(message)

        await super().__call__(scope, receive, paced_send)
