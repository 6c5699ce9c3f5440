"""A site's file as an HTTP response: what the page cache holds goes out at once, the rest is read in a thread.

An asynchronous file costs a hop to a thread and back for every chunk, more than encrypting it. The kernel says instead
whether a read would block (preadv2(2), RWF_NOWAIT), and only then a thread waits for the disk. It will not decide when
a chunk may go; that is `seeder.http.pacer`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}

LEAST_CHUNK_BYTES = 1 << 14
MAX_CHUNK_BYTES = 1 << 18
AWAITED_CHUNK_BYTES = 1 << 20
CHUNK_S = 0.01
"""How long one response may keep the uplink before the next has its turn."""

CHUNKS_BYTES = 1 << 26
"""How much the chunks of all responses may take together, above a TLS record each."""

READ_AHEAD_BYTES = 1 << 18
"""How much a thread reads at a time where the kernel cannot say what is in memory."""


def chunk_bytes_for(uplink_bytes_per_s: float, responses: int = 1, *, weight: float = 1.0) -> int:
    """Return how many bytes a response sends at a turn: 10 ms of the uplink, a TLS record at least, a power of two.

    With many responses at once it is less: each holds its chunk until its client takes it, if it ever does. With more
    weight it is more, up to `AWAITED_CHUNK_BYTES`: a processor that is late lets all go that wait, one chunk each.
    """
    most = min(MAX_CHUNK_BYTES, CHUNKS_BYTES // max(1, responses))
    wanted = max(LEAST_CHUNK_BYTES, int(min(most, uplink_bytes_per_s * CHUNK_S)))
    size_bytes = 1 << (wanted.bit_length() - 1)
    awaited_bytes = min(AWAITED_CHUNK_BYTES, CHUNKS_BYTES // max(1, responses), int(size_bytes * weight))
    return max(size_bytes, awaited_bytes)


def is_exhausted(error: Exception) -> bool:
    """Return whether an error says that no more files can be opened now: in a moment it may be otherwise."""
    return isinstance(error, OSError) and error.errno in _EXHAUSTED


class SharedFile:
    """One open regular file, read by however many responses; `status` is what fstat(2) says of it."""

    def __init__(self, descriptor: int, status: os.stat_result) -> None:
        self.descriptor = descriptor
        self.status = status
        self.readers = 0


class OpenFiles:
    """Files open for responses, each once however many read it: a rack's downloads cost one descriptor an artifact."""

    def __init__(self) -> None:
        self.readers = 0
        self._files: dict[tuple[int, int], SharedFile] = {}

    def __len__(self) -> int:
        return len(self._files)

    def open(self, path: Path) -> SharedFile | None:
        """Return a regular file to read, None of anything else; raise OSError if no more can be opened at all.

        Each one returned is to be given to `close` once. A FIFO does not block, as it is opened without waiting.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            if is_exhausted(error):
                raise
            return None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            return None
        known = self._files.get(_identity(status))
        if known is None:
            known = self._files[_identity(status)] = SharedFile(descriptor, status)
        else:
            os.close(descriptor)
        known.readers += 1
        self.readers += 1
        return known

    def close(self, file: SharedFile) -> None:
        """Take note that one reader is done."""
        file.readers -= 1
        self.readers -= 1
        if not file.readers:
            del self._files[_identity(file.status)]
            os.close(file.descriptor)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class BlobFile:
    """A shared file, read from where it was sought to, `ahead_bytes` at a time if a thread has to."""

    def __init__(self, file: SharedFile, ahead_bytes: int = READ_AHEAD_BYTES) -> None:
        self._descriptor = file.descriptor
        self._ahead_bytes = ahead_bytes
        self._offset = 0
        self._ahead = b""

    async def seek(self, offset: int) -> None:
        """Read from this byte on."""
        self._offset, self._ahead = offset, b""

    async def read(self, size_bytes: int) -> bytes:
        """Return the next `size_bytes`, fewer only at the file's end."""
        if not self._ahead:
            cached = self._read_cached(size_bytes)
            if len(cached) == size_bytes:
                self._offset += size_bytes
                return cached
        while len(self._ahead) < size_bytes:
            offset = self._offset + len(self._ahead)
            got = await trio.to_thread.run_sync(os.pread, self._descriptor, self._ahead_bytes, offset)
            if not got:
                break
            self._ahead += got
        chunk, self._ahead = self._ahead[:size_bytes], self._ahead[size_bytes:]
        self._offset += len(chunk)
        return chunk

    def _read_cached(self, size_bytes: int) -> bytes:
        chunk = bytearray(size_bytes)
        try:
            got = os.preadv(self._descriptor, [chunk], self._offset, os.RWF_NOWAIT)
        except OSError:  # EAGAIN: not in memory; EOPNOTSUPP: this file system cannot tell
            return b""
        return bytes(chunk) if got == size_bytes else b""


class BlobResponse(FileResponse):
    """A response of a shared file, which it closes; `before_send` is awaited with the size of each piece.

    `at_end` is called once it is over, well or not.
    """

    def __init__(
        self,
        files: OpenFiles,
        file: SharedFile,
        path: Path,
        *,
        before_send: Callable[[int], Awaitable[None]],
        at_end: Callable[[], None] = lambda: None,
        media_type: str,
        headers: Mapping[str, str] | None = None,
        chunk_bytes: int = MAX_CHUNK_BYTES,
    ) -> None:
        super().__init__(path, media_type=media_type, headers=headers, stat_result=file.status)
        self.chunk_size = chunk_bytes
        self._files = files
        self._file = file
        self._before_send = before_send
        self._at_end = at_end
        self.size_bytes = file.status.st_size

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[BlobFile]:  # type: ignore[override]
        yield BlobFile(self._file, min(READ_AHEAD_BYTES, 4 * self.chunk_size))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or the ranges asked for."""

        async def counted_send(message: Message) -> None:
            if body := message.get("body", b""):
                await self._before_send(len(body))
            await send(message)

        try:
            await super().__call__(scope, receive, counted_send)
        finally:
            self._files.close(self._file)
            self._at_end()


def no_more_files() -> Response:
    """Return the answer when no descriptor is left for a file: whoever asks again in a moment is served."""
    return PlainTextResponse("too many files are open, ask again\n", status_code=503, headers={"retry-after": "1"})
