"""A squashfs's first 96 bytes, and the options of mksquashfs(1) that make such an image again. Pure.

Source: Linux, fs/squashfs/squashfs_fs.h; of the compressors' options, squashfs-tools' `*_wrapper.h`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag

from swarmboot.errors import ReleaseError

SIZE_BYTES = 96
NONE = 0xFFFF_FFFF_FFFF_FFFF
"""In place of a table's position: there is none."""
_LAYOUT = struct.Struct("<5I6H8Q")
_MAGIC = 0x73717368
_NAMES = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
_GZIP_STRATEGIES = ("default", "filtered", "huffman_only", "run_length_encoded", "fixed")
_XZ_FILTERS = ("x86", "powerpc", "ia64", "arm", "armthumb", "sparc", "arm64", "riscv")
_LZO = ("lzo1x_1", "lzo1x_1_11", "lzo1x_1_12", "lzo1x_1_15", "lzo1x_999")


class Flag(IntFlag):
    """How an image was made."""

    PLAIN_INODES = 0x1
    PLAIN_DATA = 0x2
    PLAIN_FRAGMENTS = 0x8
    NO_FRAGMENTS = 0x10
    ALWAYS_FRAGMENTS = 0x20
    DUPLICATES = 0x40
    EXPORTABLE = 0x80
    PLAIN_XATTRS = 0x100
    NO_XATTRS = 0x200
    OPTIONS = 0x400
    PLAIN_IDS = 0x800


@dataclass(frozen=True, slots=True)
class Superblock:
    """What the first bytes say. Positions are bytes from the image's beginning."""

    inodes: int
    made_unix_s: int
    block_bytes: int
    fragments: int
    compressor: str
    flags: Flag
    ids: int
    root: int
    size_bytes: int
    ids_at: int
    xattrs_at: int
    inodes_at: int
    folders_at: int
    fragments_at: int
    exports_at: int


def parse_superblock(data: bytes, *, label: str) -> Superblock:
    """Return what an image's first bytes say; raise ReleaseError for what is no squashfs 4.0."""
    if len(data) < SIZE_BYTES:
        raise ReleaseError(f"{label} is no squashfs", expected=f"{SIZE_BYTES} bytes at least", found=f"{len(data)}")
    magic, inodes, made, block, fragments, kind, log, flags, ids, major, minor, *places = _LAYOUT.unpack_from(data)
    if magic != _MAGIC or (major, minor) != (4, 0) or block != 1 << min(log, 20) or block < 4096:
        raise ReleaseError(
            f"{label} is no squashfs 4.0", found=f"{magic:#x}, {major}.{minor}, blocks of {block} bytes",
            hint="build it again, and copy it whole",
        )  # fmt: skip
    name = _NAMES.get(kind, f"compressor {kind}")
    return Superblock(inodes, made, block, fragments, name, Flag(flags & 0xFFF), ids, *places)


def packing_options(of: Superblock, options: bytes) -> tuple[str, ...]:
    """Return the options of mksquashfs(1) for an image like this; `options` are its compressor's own, if it has any."""
    words = ["-comp", of.compressor, *_compressor_options(of.compressor, options), "-b", str(of.block_bytes)]
    words += ["-mkfs-time", str(of.made_unix_s)]
    for flag, option in (
        (Flag.PLAIN_INODES, "-noI"), (Flag.PLAIN_DATA, "-noD"), (Flag.PLAIN_FRAGMENTS, "-noF"),
        (Flag.PLAIN_XATTRS, "-noX"), (Flag.PLAIN_IDS, "-noId"), (Flag.NO_FRAGMENTS, "-no-fragments"),
        (Flag.ALWAYS_FRAGMENTS, "-always-use-fragments"), (Flag.NO_XATTRS, "-no-xattrs"),
    ):  # fmt: skip
        words += [option] if flag in of.flags else []
    for flag, option in ((Flag.DUPLICATES, "-no-duplicates"), (Flag.EXPORTABLE, "-no-exports")):
        words += [] if flag in of.flags else [option]
    return tuple(words)


def _compressor_options(name: str, data: bytes) -> list[str]:
    match name:
        case "gzip" if len(data) >= 8:
            level, window, strategies = struct.unpack_from("<iHH", data)
            return [
                "-Xcompression-level", str(level), "-Xwindow-size", str(window),
                *_listed("-Xstrategy", _GZIP_STRATEGIES, strategies),
            ]  # fmt: skip
        case "xz" if len(data) >= 8:
            dictionary, filters = struct.unpack_from("<iI", data)
            return ["-Xdict-size", str(dictionary), *_listed("-Xbcj", _XZ_FILTERS, filters)]
        case "zstd" if len(data) >= 4:
            return ["-Xcompression-level", str(struct.unpack_from("<i", data)[0])]
        case "lz4" if len(data) >= 8:
            return ["-Xhc"] if struct.unpack_from("<iI", data)[1] & 1 else []
        case "lzo" if len(data) >= 8:
            algorithm, level = struct.unpack_from("<iI", data)
            name = _LZO[algorithm] if 0 <= algorithm < len(_LZO) else _LZO[-1]
            return ["-Xalgorithm", name, *(["-Xcompression-level", str(level)] if name == _LZO[-1] else [])]
    return []


def _listed(option: str, names: tuple[str, ...], bits: int) -> list[str]:
    chosen = [name for at, name in enumerate(names) if bits >> at & 1]
    return [option, ",".join(chosen)] if chosen else []
