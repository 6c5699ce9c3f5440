"""Serves images that are not all there yet to the kernel, over FUSE: a read of what is missing waits for it.

Workers, each in a thread with buffers of its own, read requests from /dev/fuse and answer them. A read looks at its
pieces first (`leecher.lazy.image`); for one that is not there and right it says so to whoever fetches, and waits. It is
answered when all are; after `read_s` with EIO, because a program in D state for ever is worse than one that fails. On
the way of a read nothing but small values is allocated.

It will not fetch, decide or mount anything.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence

from leecher.lazy import fuse
from leecher.lazy.image import ImageFacts, VerifiedFile

WORKERS = 6
READ_S = 300.0
_AGAIN_S = 0.01
_AGAIN_MAX_S = 1.0
_TOUCH_BYTES = 4096
_STACK_BYTES = 1 << 18
_OVER = frozenset({errno.ENODEV, errno.EBADF, errno.ECONNABORTED})
"""The connection has ended; ECONNABORTED is read by who was taking a request up at that moment (fuse_dev_do_read)."""

_PASSING = frozenset({errno.EINTR, errno.EAGAIN, errno.ENOENT})


class FileServer:
    """Answers the kernel on one FUSE descriptor until the connection ends.

    `tell` is called, in any thread, with an image, a piece and whether it is missing: when a piece is first read, and
    when a read has to wait for it. `touch`, where there is one before there are files, is called as well with an image,
    first byte and bytes of a read of what was not read before, again and again until it returns that it was heard.
    """

    def __init__(self, descriptor: int, tell: Callable[[int, int, bool], None], *, read_s: float = READ_S) -> None:
        self._descriptor = descriptor
        self._tell = tell
        self._read_s = read_s
        self._files: tuple[VerifiedFile, ...] = ()
        self._seen: list[bytearray] = []
        self._touched: list[bytearray] = []
        self.touch: Callable[[int, int, int], bool] | None = None
        self._arrival = threading.Condition()
        self._arrivals = 0
        self._workers: list[threading.Thread] = []
        self.failed_reads = 0

    @property
    def files(self) -> Sequence[VerifiedFile]:
        """Return the images that are served, the first as the file `0`."""
        return self._files

    def start(self) -> None:
        """Begin to answer; there are no files yet."""
        old_bytes = threading.stack_size(_STACK_BYTES)
        for _ in range(WORKERS):
            worker = threading.Thread(target=self._work, name="fuse", daemon=True)
            worker.start()
            self._workers.append(worker)
        threading.stack_size(old_bytes)

    def serve(self, images: Sequence[ImageFacts]) -> None:
        """Serve these images from now on; they may be named again, by a fetcher that was started again."""
        if not self._files:
            self._seen = [bytearray(image.pieces) for image in images]
            self._files = tuple(map(VerifiedFile, images))
            if self.touch is not None:
                self._touched = [bytearray(-(-image.size_bytes // _TOUCH_BYTES)) for image in images]
        elif [file.facts.layer for file in self._files] != [image.layer for image in images]:
            raise ValueError("other images than are being served")
        else:
            for file, image in zip(self._files, images, strict=True):
                file.move(image)
        self.something_came()

    def something_came(self) -> None:
        """Have every read that waits look again."""
        with self._arrival:
            self._arrivals += 1
            self._arrival.notify_all()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the kernel has ended the connection; return whether it has."""
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        for worker in self._workers:
            worker.join(None if until_s is None else max(0.0, until_s - time.monotonic()))
        return not any(worker.is_alive() for worker in self._workers)

    def _work(self) -> None:
        request = memoryview(bytearray(fuse.REQUEST_BYTES))
        head, answer, room = bytearray(fuse.HEADER_BYTES), memoryview(bytearray(fuse.MAX_READ_BYTES)), bytearray()
        while True:
            try:
                size_bytes = os.readv(self._descriptor, [request])
            except OSError as error:
                if error.errno in _OVER:
                    return
                if error.errno in _PASSING:
                    continue
                raise
            operation, number, node = fuse.header(request)
            if operation == fuse.Operation.READ:
                first_byte, wanted_bytes = fuse.read_of(request)
                if not room and self._files:
                    room = bytearray(max(file.facts.piece_bytes for file in self._files))
                got, failure = self._read(node, answer[:wanted_bytes], first_byte, memoryview(room))
                fuse.write_header(head, number, size_bytes=got, error=failure)
                self._answer([head, answer[:got]])
            elif operation not in fuse.UNANSWERED:
                body, failure = self._simple(operation, node, request[:size_bytes])
                fuse.write_header(head, number, size_bytes=len(body), error=failure)
                self._answer([head, body])

    def _answer(self, parts: list[bytearray | memoryview | bytes]) -> None:
        try:
            os.writev(self._descriptor, parts)
        except OSError as error:
            if error.errno not in (*_OVER, *_PASSING):  # ENOENT: whoever asked was killed
                raise

    def _simple(self, operation: int, node: int, request: memoryview) -> tuple[bytes, int]:
        """Return the answer to anything but a read, and its error."""
        match operation:
            case fuse.Operation.INIT:
                return fuse.init_answer(request), 0
            case fuse.Operation.LOOKUP:
                name = fuse.name_of(request)
                index = int(name) if name.isdigit() and len(name) <= 4 else -1
                if node != fuse.ROOT or not 0 <= index < len(self._files):
                    return b"", errno.ENOENT
                return fuse.entry_answer(fuse.ROOT + 1 + index, self._files[index].facts.size_bytes), 0
            case fuse.Operation.GETATTR if node == fuse.ROOT:
                return fuse.attributes_answer(node, None), 0
            case fuse.Operation.GETATTR:
                return fuse.attributes_answer(node, self._file(node).facts.size_bytes), 0
            case fuse.Operation.OPEN:
                return fuse.open_answer(), 0
            case fuse.Operation.STATFS:
                return fuse.statfs_answer(), 0
            case fuse.Operation.RELEASE | fuse.Operation.DESTROY:
                return b"", 0
        return b"", errno.ENOSYS

    def _file(self, node: int) -> VerifiedFile:
        return self._files[node - fuse.ROOT - 1]

    def _read(self, node: int, view: memoryview, first_byte: int, room: memoryview) -> tuple[int, int]:
        """Fill `view` and return how many bytes there are, and an error."""
        image, file = node - fuse.ROOT - 1, self._file(node)
        until_s = time.monotonic() + self._read_s
        if self._touched:
            self._note(image, first_byte, len(view))
        try:
            for index in file.span(first_byte, len(view)):
                if not self._is_there(image, index, room) and not self._wait(image, index, room, until_s):
                    self.failed_reads += 1
                    return 0, errno.EIO
            return file.read(view, first_byte), 0
        except OSError as error:
            self.failed_reads += 1
            return 0, error.errno or errno.EIO

    def _note(self, image: int, first_byte: int, size_bytes: int) -> None:
        """Tell of a read of what was not read before."""
        blocks, first, end = (
            self._touched[image],
            first_byte // _TOUCH_BYTES,
            -(-(first_byte + size_bytes) // _TOUCH_BYTES),
        )
        if self.touch is not None and blocks.find(0, first, end) >= 0 and self.touch(image, first_byte, size_bytes):
            for block in range(first, min(end, len(blocks))):
                blocks[block] = 1

    def _is_there(self, image: int, index: int, room: memoryview) -> bool:
        is_there = self._files[image].verify(index, room)
        if not self._seen[image][index]:
            self._seen[image][index] = 1
            if is_there:
                self._tell(image, index, False)
        return is_there

    def _wait(self, image: int, index: int, room: memoryview, until_s: float) -> bool:
        """Wait for a piece and return whether it came. It is looked for again at every sign, and ever less often."""
        pause_s, is_sign = _AGAIN_S, False
        while (left_s := until_s - time.monotonic()) > 0:
            arrivals = self._arrivals
            if self._files[image].verify(index, room):
                return True
            if not is_sign:  # who says that it came is not asked again at once: it may not be written yet
                self._tell(image, index, True)
            with self._arrival:
                is_sign = self._arrival.wait_for(lambda seen=arrivals: self._arrivals != seen, min(pause_s, left_s))  # type: ignore[misc]
            pause_s = _AGAIN_S if is_sign else min(_AGAIN_MAX_S, 2 * pause_s)
        return False
