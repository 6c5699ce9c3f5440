"""Digests of an image's chunks, taken while its bytes pass in another's hands, in a thread beside."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from swarmboot.release.chunks import ChunkList

Take = Callable[[bytes], None]
_MAX_WAITING = 8


class ChunkHasher:
    """Hashes an image's bytes from one cut to the next."""

    def __init__(self) -> None:
        self.open_bytes = 0
        self._open = hashlib.sha256()
        self._lengths: list[int] = []
        self._digests: list[bytes] = []

    def update(self, data: bytes | memoryview) -> None:
        """Take bytes of the chunk that is open."""
        self._open.update(data)
        self.open_bytes += len(data)

    def cut(self) -> None:
        """End the chunk that is open."""
        self._lengths.append(self.open_bytes)
        self._digests.append(self._open.digest())
        self._open, self.open_bytes = hashlib.sha256(), 0

    def finish(self) -> ChunkList:
        """Return the list of the chunks that have ended."""
        return ChunkList(tuple(self._lengths), b"".join(self._digests))


class ChunkChecker:
    """Hashes an image's bytes by the lengths of a list; `finish` is that list if they are its image's."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self._hasher = ChunkHasher()
        self._left = deque(lengths)

    def update(self, part: bytes) -> None:
        """Take the next bytes; those behind the last chunk go uncounted."""
        view = memoryview(part)
        while view and self._left:
            taken = view[: self._left[0] - self._hasher.open_bytes]
            self._hasher.update(taken)
            view = view[len(taken) :]
            if self._hasher.open_bytes == self._left[0]:
                self._hasher.cut()
                self._left.popleft()

    def finish(self) -> ChunkList:
        """Return the lengths and digests of the chunks that were taken whole."""
        return self._hasher.finish()


@contextmanager
def beside(take: Take) -> Iterator[Take]:
    """Give a function that has `take` called with the same bytes, in order, in a thread; at the end all is taken.

    No more than eight parts wait. What `take` raises is raised by the function, or at the end.
    """
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as pool:

        def hand_over(part: bytes) -> None:
            waiting.append(pool.submit(take, part))
            if len(waiting) > _MAX_WAITING:
                waiting.popleft().result()

        yield hand_over
        for future in waiting:
            future.result()
