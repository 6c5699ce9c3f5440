"""Reads what a squashfs holds and where: every name, what is known of it, and which bytes of the image are its data.

unsquashfs(1) tells names and no positions. An image's tables alone are read, of its data nothing. Source: Linux,
fs/squashfs/squashfs_fs.h.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from seeder.squashfs.metadata import MetadataReader, Table
from seeder.squashfs.superblock import NONE, SIZE_BYTES, Flag, Superblock, parse_superblock
from swarmboot.errors import ReleaseError

_NO_INDEX = 0xFFFF_FFFF
_SIZE_MASK = 0x00FF_FFFF
_KINDS = ("folder", "file", "link", "block", "character", "pipe", "socket")
_DEPTH_MAX = 4096
_FRAGMENTS_A_BLOCK, _IDS_A_BLOCK, _XATTRS_A_BLOCK = 512, 2048, 512


@dataclass(frozen=True, slots=True)
class Inode:
    """What is known of something in an image. `xattrs` are how many it has and their bytes.

    Of a file: `first_byte` is where its whole blocks begin, `stored` the bytes that each of them takes, and its tail
    lies in a fragment, at an offset in it, if it has one.
    """

    kind: str
    mode: int
    uid: int
    gid: int
    mtime_unix_s: int
    links: int
    size_bytes: int = 0
    device: int = 0
    target: bytes = b""
    xattrs: tuple[int, int] = (0, 0)
    first_byte: int = 0
    stored: Sequence[int] = ()
    fragment: int | None = None
    fragment_offset: int = 0
    folder: tuple[int, int] = (0, 0)

    @property
    def facts(self) -> tuple[object, ...]:
        """Return all that a packing anew must not change."""
        return (
            self.kind, self.mode, self.uid, self.gid, self.mtime_unix_s, self.links, self.device, self.target,
            self.xattrs, 0 if self.kind == "folder" else self.size_bytes,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Squashfs:
    """An image. `nodes` are by their paths without a leading slash, the root's own empty; names linked to one inode
    share it. `fragments` are first byte and bytes in the image of each. `options` are its compressor's.
    """

    label: str
    superblock: Superblock
    options: bytes
    nodes: dict[bytes, Inode]
    fragments: tuple[tuple[int, int], ...]

    @property
    def tables(self) -> tuple[int, int]:
        """Return first byte and bytes of all that is not data, the head left out."""
        return self.superblock.inodes_at, self.superblock.size_bytes - self.superblock.inodes_at


def read_squashfs(path: Path, *, label: str) -> Squashfs:
    """Return what an image holds.

    Raises ReleaseError for one that cannot be read, ResourceError if its compressor is none that is known here,
    ToolMissingError without the program that unpacks it.
    """
    with path.open("rb") as image:
        superblock = parse_superblock(image.read(SIZE_BYTES), label=label)
        try:
            return _Reader(image, superblock, label).read()
        except (ValueError, IndexError, struct.error, zlib.error, lzma.LZMAError, EOFError) as error:
            raise ReleaseError(
                f"{label} cannot be read as a squashfs", found=str(error), hint="build it again, and copy it whole"
            ) from error


@dataclass(slots=True)
class _Reader:
    """Reads one image's tables."""

    image: BinaryIO
    superblock: Superblock
    label: str
    metadata: MetadataReader = field(init=False)
    inodes: Table = field(init=False)
    folders: Table = field(init=False)
    ids: tuple[int, ...] = ()
    xattrs: tuple[tuple[int, int], ...] = ()
    known: dict[int, Inode] = field(default_factory=dict)

    def read(self) -> Squashfs:
        """Return the image."""
        of = self.superblock
        self.metadata = MetadataReader(self.image, of.compressor, label=self.label)
        options = self.metadata.blocks([SIZE_BYTES]) if Flag.OPTIONS in of.flags else b""
        fragment_blocks = self._index(of.fragments_at, of.fragments, _FRAGMENTS_A_BLOCK)
        export_blocks = self._index(of.exports_at, of.inodes, 1024)
        id_blocks = self._index(of.ids_at, of.ids, _IDS_A_BLOCK)
        self.ids = struct.unpack(f"<{of.ids}I", self.metadata.blocks(id_blocks))
        self.xattrs = tuple(self._xattrs())
        ends = [*fragment_blocks[:1], *export_blocks[:1], *id_blocks[:1], of.size_bytes]
        self.inodes = self.metadata.table(of.inodes_at, of.folders_at)
        self.folders = self.metadata.table(of.folders_at, min(end for end in ends if end >= of.folders_at))
        nodes = dict(self._walk())
        data = self.metadata.blocks(fragment_blocks)
        fragments = struct.iter_unpack("<QII", data[: 16 * of.fragments])
        places = tuple((start, size & _SIZE_MASK) for start, size, _ in fragments)
        return Squashfs(self.label, of, options, nodes, places)

    def _index(self, at: int, count: int, a_block: int) -> tuple[int, ...]:
        """Return the positions of a table's blocks."""
        return () if at == NONE or not count else self.metadata.numbers(at, -(-count // a_block))

    def _xattrs(self) -> Iterator[tuple[int, int]]:
        at = self.superblock.xattrs_at
        if at != NONE:
            (count,) = struct.unpack_from("<I", self._bytes(at + 8, 4))
            blocks = self.metadata.numbers(at + 16, -(-count // _XATTRS_A_BLOCK))
            for _, number, size_bytes in struct.iter_unpack("<QII", self.metadata.blocks(blocks)):
                yield number, size_bytes

    def _bytes(self, at: int, size_bytes: int) -> bytes:
        self.image.seek(at)
        return self.image.read(size_bytes)

    def _walk(self) -> Iterator[tuple[bytes, Inode]]:
        """Yield every path and what is there, a folder before what is in it."""
        root = self._inode(self.superblock.root >> 16, self.superblock.root & 0xFFFF)
        waiting = [(b"", root)]
        seen = 0
        while waiting:
            path, node = waiting.pop()
            seen += 1
            if seen > 4 * self.superblock.inodes + 1 and path.count(b"/") > _DEPTH_MAX:
                raise ValueError("its folders go round in a circle")
            yield path, node
            if node.kind == "folder":
                prefix = path + b"/" if path else b""
                waiting += [(prefix + name, child) for name, child in self._children(node)]

    def _children(self, folder: Inode) -> Iterator[tuple[bytes, Inode]]:
        block, offset = folder.folder
        left_bytes = folder.size_bytes - 3
        if left_bytes <= 0:
            return
        data = self.folders.data
        at = self.folders.place(self.superblock.folders_at + block, offset)
        end = at + left_bytes
        while at < end:
            count, start, _ = struct.unpack_from("<3I", data, at)
            at += 12
            for _ in range(count + 1):
                inode_offset, _, _, size_bytes = struct.unpack_from("<HhHH", data, at)
                name = data[at + 8 : at + 9 + size_bytes]
                at += 9 + size_bytes
                yield name, self._inode(start, inode_offset)

    def _inode(self, block: int, offset: int) -> Inode:
        at = self.inodes.place(self.superblock.inodes_at + block, offset)
        if at not in self.known:
            self.known[at] = self._parse(at)
        return self.known[at]

    def _parse(self, at: int) -> Inode:
        data = self.inodes.data
        kind, mode, uid, gid, mtime, _ = struct.unpack_from("<4H2I", data, at)
        name, is_long, at = _KINDS[(kind - 1) % 7], kind > 7, at + 16
        given = {"kind": name, "mode": mode, "uid": self.ids[uid], "gid": self.ids[gid], "mtime_unix_s": mtime}
        if not 1 <= kind <= 14:
            raise ValueError(f"an inode of kind {kind}")
        rest, xattr = _PARSERS[name](data, at, is_long, self.superblock.block_bytes)
        xattrs = self.xattrs[xattr] if xattr != _NO_INDEX else (0, 0)
        return Inode(**given, **rest, xattrs=xattrs)  # type: ignore[arg-type]


_Parsed = tuple[dict[str, object], int]
"""What is known of an inode beyond what all have, and the index of its extended attributes."""


def _folder(data: bytes, at: int, is_long: bool, _: int) -> _Parsed:
    if is_long:
        links, size, block, _, _, offset, xattr = struct.unpack_from("<4I2HI", data, at)
    else:
        block, links, size, offset, _ = struct.unpack_from("<2I2HI", data, at)
        xattr = _NO_INDEX
    return {"links": links, "size_bytes": size, "folder": (block, offset)}, xattr


def _file(data: bytes, at: int, is_long: bool, block_bytes: int) -> _Parsed:
    links, xattr = 1, _NO_INDEX
    if is_long:
        first, size, _, links, fragment, offset, xattr = struct.unpack_from("<3Q4I", data, at)
        at += 40
    else:
        first, fragment, offset, size = struct.unpack_from("<4I", data, at)
        at += 16
    has_tail = fragment != _NO_INDEX
    blocks = size // block_bytes if has_tail else -(-size // block_bytes)
    stored = tuple(word & _SIZE_MASK for word in struct.unpack_from(f"<{blocks}I", data, at))
    return {
        "links": links, "size_bytes": size, "first_byte": first, "stored": stored,
        "fragment": fragment if has_tail else None, "fragment_offset": offset,
    }, xattr  # fmt: skip


def _link(data: bytes, at: int, is_long: bool, _: int) -> _Parsed:
    links, size = struct.unpack_from("<2I", data, at)
    target = data[at + 8 : at + 8 + size]
    xattr = struct.unpack_from("<I", data, at + 8 + size)[0] if is_long else _NO_INDEX
    return {"links": links, "size_bytes": size, "target": target}, xattr


def _device(data: bytes, at: int, is_long: bool, _: int) -> _Parsed:
    links, device = struct.unpack_from("<2I", data, at)
    return {"links": links, "device": device}, struct.unpack_from("<I", data, at + 8)[0] if is_long else _NO_INDEX


def _other(data: bytes, at: int, is_long: bool, _: int) -> _Parsed:
    (links,) = struct.unpack_from("<I", data, at)
    return {"links": links}, struct.unpack_from("<I", data, at + 4)[0] if is_long else _NO_INDEX


_PARSERS = {
    "folder": _folder, "file": _file, "link": _link, "block": _device, "character": _device, "pipe": _other,
    "socket": _other,
}  # fmt: skip
