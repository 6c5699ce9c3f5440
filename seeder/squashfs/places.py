"""Which files lie under bytes of a squashfs, and under which bytes a file lies. Pure: an image as read in, values out.

Small files and tails share a block of the image, a fragment: whoever reads one of them reads it whole, and which of
them that was the bytes do not tell. All of them count then. The kernel reads blocks whole, and what lies around them up
to the end of a page (fs/squashfs/block.c): a block of which a part was read is a neighbour, and does not count.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from seeder.squashfs.reader import Inode, Squashfs

_LINKS_MAX = 40
"""So many links the kernel follows (path_resolution(7))."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file: its path in the image, and bytes of it, uncompressed."""

    path: bytes
    first_byte: int
    size_bytes: int


class BlocksRead:
    """Takes in which bytes of an image are read, and tells what of which files that is."""

    def __init__(self, image: Squashfs) -> None:
        self._stored = sorted(_stored(image))
        self._starts = [start for start, _, _ in self._stored]
        self._told = set[int]()
        self._firsts: list[int] = []
        self._ends: list[int] = []

    def read(self, first_byte: int, size_bytes: int) -> Iterator[Part]:
        """Take a read in, and yield what lies in the blocks that have been read whole by now and had not before.

        What is no file's data, as names and modes, is passed over.
        """
        self._cover(first_byte, first_byte + size_bytes)
        at = max(0, bisect.bisect_right(self._starts, first_byte) - 1)
        while at < len(self._stored) and self._starts[at] < first_byte + size_bytes:
            start, stored_bytes, parts = self._stored[at]
            if at not in self._told and self._is_covered(start, start + stored_bytes):
                self._told.add(at)
                yield from parts
            at += 1

    def _cover(self, first_byte: int, end_byte: int) -> None:
        """Take bytes into the runs of what was read, which never touch each other."""
        low, high = bisect.bisect_left(self._ends, first_byte), bisect.bisect_right(self._firsts, end_byte)
        if low < high:
            first_byte, end_byte = min(first_byte, self._firsts[low]), max(end_byte, self._ends[high - 1])
        self._firsts[low:high], self._ends[low:high] = [first_byte], [end_byte]

    def _is_covered(self, first_byte: int, end_byte: int) -> bool:
        run = bisect.bisect_right(self._firsts, first_byte) - 1
        return run >= 0 and end_byte <= self._ends[run]


def parts_under(image: Squashfs, reads: Iterable[tuple[int, int]]) -> Iterator[Part]:
    """Yield what of which files these reads, as first byte and how many, have read, in order; nothing twice."""
    blocks = BlocksRead(image)
    for read in reads:
        yield from blocks.read(*read)


def _stored(image: Squashfs) -> Iterator[tuple[int, int, tuple[Part, ...]]]:
    """Yield first byte and bytes of each block of data, and what is in it. Files of the same bytes are one file."""
    block_bytes = image.superblock.block_bytes
    tails: dict[int, dict[int, Part]] = defaultdict(dict)
    known = set[int]()
    for path, inode in sorted(image.nodes.items(), key=lambda item: item[0]):
        if inode.kind != "file":
            continue
        if inode.fragment is not None:
            first_byte = len(inode.stored) * block_bytes
            part = Part(path, first_byte, inode.size_bytes - first_byte)
            tails[inode.fragment].setdefault(inode.fragment_offset, part)
        if not inode.stored or inode.first_byte in known:
            continue
        known.add(inode.first_byte)
        at = inode.first_byte
        for number, stored_bytes in enumerate(inode.stored):
            if stored_bytes:  # else a hole
                first_byte = number * block_bytes
                yield at, stored_bytes, (Part(path, first_byte, min(block_bytes, inode.size_bytes - first_byte)),)
            at += stored_bytes
    for number, parts in tails.items():
        yield *image.fragments[number], tuple(parts[offset] for offset in sorted(parts))


def bytes_under(image: Squashfs, part: Part) -> Iterator[tuple[int, int]]:
    """Yield where a part of a file lies in the image, as first byte and bytes; nothing if there is no such file."""
    inode = image.nodes.get(resolve(image, part.path) or b"")
    if inode is None or inode.kind != "file":
        return
    block_bytes = image.superblock.block_bytes
    end_byte = min(part.first_byte + part.size_bytes, inode.size_bytes)
    first, last = part.first_byte // block_bytes, (end_byte - 1) // block_bytes
    if end_byte <= part.first_byte:
        return
    at = inode.first_byte + sum(inode.stored[:first])
    for stored_bytes in inode.stored[first : last + 1]:
        if stored_bytes:
            yield at, stored_bytes
        at += stored_bytes
    if last >= len(inode.stored) and inode.fragment is not None:
        yield image.fragments[inode.fragment]


def resolve(image: Squashfs, path: bytes) -> bytes | None:
    """Return where a path leads inside the image, links followed; None if nothing is there."""
    left = [name for name in reversed(path.split(b"/")) if name]
    at: list[bytes] = []
    hops = 0
    while left:
        name = left.pop()
        if name in (b".", b".."):
            at = at[:-1] if name == b".." else at
            continue
        node: Inode | None = image.nodes.get(b"/".join([*at, name]))
        if node is None:
            return None
        if node.kind != "link":
            at.append(name)
            continue
        hops += 1
        if hops > _LINKS_MAX:
            return None
        at = [] if node.target.startswith(b"/") else at
        left += [name for name in reversed(node.target.split(b"/")) if name]
    return b"/".join(at)
