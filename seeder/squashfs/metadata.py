"""A squashfs's metadata: blocks of 8 KiB, each compressed by itself, each behind two bytes that say how long it is.

gzip and xz are unpacked here, zstd and lz4 by their programs, all blocks of a table at once: one behind the other they
are a file that these read. Raises ReleaseError, or ToolMissingError.
"""

from __future__ import annotations

import bisect
import lzma
import shutil
import struct
import subprocess
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from swarmboot.errors import ReleaseError, ResourceError, ToolMissingError

BLOCK_BYTES = 8192
_PLAIN = 0x8000
_BOUND_S = 120.0
_LZ4_HEAD, _LZ4_END = bytes.fromhex("04224d18604082"), bytes(4)
"""A frame of independent blocks of at most 64 KiB (lz4_Frame_format.md)."""


@dataclass(frozen=True, slots=True)
class Table:
    """A run of metadata. `starts` are where its blocks begin in the image."""

    data: bytes
    starts: Sequence[int]

    def place(self, block_at: int, offset: int) -> int:
        """Return where in `data` something is that lies at an offset in the block that begins at `block_at`."""
        index = bisect.bisect_left(self.starts, block_at)
        if index == len(self.starts) or self.starts[index] != block_at or offset >= BLOCK_BYTES:
            raise ValueError(f"no metadata block begins at {block_at}")
        return index * BLOCK_BYTES + offset


class MetadataReader:
    """Reads tables of one image, which is open and called `label`."""

    def __init__(self, image: BinaryIO, compressor: str, *, label: str) -> None:
        self._image = image
        self._compressor = compressor
        self._label = label

    def table(self, first: int, end: int) -> Table:
        """Return the blocks that lie between two positions; a ValueError is raised for what are no such blocks."""
        starts, stored = [], []
        at = first
        while at < end:
            size_bytes, is_plain = self._header(at)
            starts.append(at)
            stored.append((self._exactly(at + 2, size_bytes), is_plain))
            at += 2 + size_bytes
        packed = [data for data, is_plain in stored if not is_plain]
        unpacked = iter(_split(self._unpack(packed), len(packed)))
        parts = [data if is_plain else next(unpacked) for data, is_plain in stored]
        if any(len(part) != BLOCK_BYTES for part in parts[:-1]):
            raise ValueError("a metadata block is short")
        return Table(b"".join(parts), starts)

    def blocks(self, starts: Sequence[int]) -> bytes:
        """Return what the blocks at these positions hold, one behind the other."""
        return b"".join(self.table(start, start + 1).data for start in starts)

    def numbers(self, at: int, count: int) -> tuple[int, ...]:
        """Return so many positions, which lie uncompressed in the image."""
        return struct.unpack(f"<{count}Q", self._exactly(at, 8 * count))

    def _header(self, at: int) -> tuple[int, bool]:
        word = int.from_bytes(self._exactly(at, 2), "little")
        size_bytes = word & ~_PLAIN
        if not 0 < size_bytes <= BLOCK_BYTES:
            raise ValueError(f"a metadata block of {size_bytes} bytes")
        return size_bytes, bool(word & _PLAIN)

    def _exactly(self, at: int, size_bytes: int) -> bytes:
        self._image.seek(at)
        data = self._image.read(size_bytes)
        if len(data) != size_bytes:
            raise ValueError(f"it ends before {at + size_bytes}")
        return data

    def _unpack(self, packed: list[bytes]) -> bytes:
        match self._compressor:
            case "gzip":
                return b"".join(map(zlib.decompress, packed))
            case "xz":
                return b"".join(map(lzma.decompress, packed))
            case _ if not packed:
                return b""
            case "zstd":
                return self._run("zstd", b"".join(packed))
            case "lz4":
                framed = b"".join(len(data).to_bytes(4, "little") + data for data in packed)
                return self._run("lz4", _LZ4_HEAD + framed + _LZ4_END)
        raise ResourceError(
            f"{self._label} is compressed with {self._compressor}, which cannot be looked into here",
            hint="pack it with zstd, xz, gzip or lz4",
        )

    def _run(self, program: str, data: bytes) -> bytes:
        if not shutil.which(program):
            raise ToolMissingError(f"{program} is not installed", hint=f"install the package {program}")
        try:
            done = subprocess.run((program, "-dcq"), input=data, capture_output=True, timeout=_BOUND_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ResourceError(f"{self._label} took {program} longer than {_BOUND_S:g} s") from error
        if done.returncode:
            raise ReleaseError(f"{self._label} cannot be read as a squashfs", hint="build it again, and copy it whole")
        return done.stdout


def _split(data: bytes, count: int) -> list[bytes]:
    parts = [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]
    if len(parts) != count:
        raise ValueError("a metadata block is short")
    return parts
