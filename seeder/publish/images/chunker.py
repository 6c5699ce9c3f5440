"""Where an image's chunks end: at bytes that say so themselves, so that they are found again wherever they lie.

A chunk ends behind four bytes which, as a little-endian number times 2654435761, leave modulo 2^32 more than
2^32 - 87382: one place in 49,152 of bytes without a pattern, such as compressed ones are. Not within 16 KiB of the
chunk's first byte, and behind 256 KiB wherever that is; so it is 64 KiB long on average. Zeros end none. These rules
belong to the format's number (`swarmboot.release.chunks`): another rule would find nothing again of what this one has
cut. docs/decisions/0059 says why it is neither a gear hash nor a library.

It reads no file. numpy looks at a quarter of a million places at once, without the interpreter's lock.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seeder.site.chunk_hasher import ChunkHasher
from swarmboot.release.chunks import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, ChunkList

_WINDOW_BYTES = 4
_FACTOR = np.uint32(2654435761)
_ONE_IN = 49152
_ABOVE = np.uint32((1 << 32) - 1 - (1 << 32) // _ONE_IN)
_AT_ONCE_BYTES = 1 << 18


class Chunker:
    """Cuts an image's bytes into chunks as they pass, in parts of any length."""

    def __init__(self) -> None:
        self._hasher = ChunkHasher()
        self._tail = b""
        self._room = np.empty(_AT_ONCE_BYTES // _WINDOW_BYTES, np.uint32)

    def update(self, part: bytes) -> None:
        """Take the next bytes."""
        across = self._tail + part[: _WINDOW_BYTES - 1]
        view, done = memoryview(part), 0
        for end in (*(end - len(self._tail) for end in self._ends(across)), *self._ends(part)):
            done = self._cut(view, done, end)
        self._cut(view, done, None)
        self._tail = (self._tail + part[1 - _WINDOW_BYTES :])[1 - _WINDOW_BYTES :]

    def _cut(self, view: memoryview, done: int, end: int | None) -> int:
        """Take the bytes up to `end`, where a chunk may end, or to the last; return how many of the part are taken."""
        stop = len(view) if end is None else end
        while (most := done + MAX_CHUNK_BYTES - self._hasher.open_bytes) <= stop:
            self._hasher.update(view[done:most])
            self._hasher.cut()
            done = most
        self._hasher.update(view[done:stop])
        if end is not None and self._hasher.open_bytes >= MIN_CHUNK_BYTES:
            self._hasher.cut()
        return stop

    def _ends(self, data: bytes) -> list[int]:
        """Return where a chunk may end in `data`, rising."""
        found = []
        for start in range(0, len(data) - _WINDOW_BYTES + 1, _AT_ONCE_BYTES):
            last = min(len(data), start + _AT_ONCE_BYTES + _WINDOW_BYTES - 1)
            for shift in range(start, min(start + _WINDOW_BYTES, last - _WINDOW_BYTES + 1)):
                places = self._places(data, shift, (last - shift) // _WINDOW_BYTES)
                found.append(places * _WINDOW_BYTES + (shift + _WINDOW_BYTES))
        ends: list[int] = np.sort(np.concatenate(found)).tolist() if found else []
        return ends

    def _places(self, data: bytes, first_byte: int, count: int) -> npt.NDArray[np.intp]:
        """Return which of `count` numbers from `first_byte` on end a chunk."""
        numbers = np.frombuffer(data, "<u4", count, first_byte)
        return np.flatnonzero(np.multiply(numbers, _FACTOR, out=self._room[:count]) > _ABOVE)

    def finish(self) -> ChunkList:
        """Return the list of everything taken."""
        if self._hasher.open_bytes:
            self._hasher.cut()
        return self._hasher.finish()
