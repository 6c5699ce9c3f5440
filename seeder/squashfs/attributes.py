"""Which extended attributes a squashfs has, by name. unsquashfs(1) lists none.

Source: Linux, fs/squashfs/squashfs_fs.h, xattr.c and xattr_id.c: a table of lists, by where each begins and how many
names it has; values that several lists share lie elsewhere, without a name.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from seeder.squashfs.metadata import MetadataReader
from seeder.squashfs.superblock import NONE, SIZE_BYTES, parse_superblock
from swarmboot.errors import ReleaseError, ResourceError

_PREFIXES = ("user.", "trusted.", "security.")
_KIND_MASK = 0xFF
_LISTS_A_BLOCK = 512
_MOST_BYTES, _MOST_LISTS, _MOST_NAMES = 1 << 22, 1 << 17, 1 << 20


def attribute_names(path: Path, *, label: str) -> frozenset[str]:
    """Return the names of all extended attributes in an image; raise ReleaseError, ResourceError or their kinds."""
    with path.open("rb") as image:
        superblock = parse_superblock(image.read(SIZE_BYTES), label=label)
        if superblock.xattrs_at == NONE:
            return frozenset()
        try:
            names = _names(MetadataReader(image, superblock.compressor, label=label), superblock.xattrs_at)
            found = frozenset(islice(names, _MOST_NAMES))
            is_whole = next(names, None) is None
        except (ValueError, IndexError, struct.error, zlib.error, lzma.LZMAError, EOFError) as error:
            raise ReleaseError(
                f"{label} cannot be read as a squashfs", found=str(error), hint="build it again, and copy it whole"
            ) from error
        if not is_whole:
            raise _too_many()
        return found


def _too_many() -> ResourceError:
    return ResourceError("it has too many extended attributes")


def _names(metadata: MetadataReader, at: int) -> Iterator[str]:
    first, word = metadata.numbers(at, 2)
    count = word & 0xFFFF_FFFF
    if not count:
        return
    blocks = metadata.numbers(at + 16, -(-min(count, _MOST_LISTS) // _LISTS_A_BLOCK))
    if count > _MOST_LISTS or blocks[0] - first > _MOST_BYTES:
        raise _too_many()
    entries = metadata.table(first, blocks[0])
    for reference, names, _ in islice(struct.iter_unpack("<QII", metadata.blocks(blocks)), count):
        yield from _listed(entries.data, entries.place(first + (reference >> 16), reference & 0xFFFF), names)


def _listed(entries: bytes, at: int, names: int) -> Iterator[str]:
    for _ in range(names):
        kind, size_bytes = struct.unpack_from("<HH", entries, at)
        name = entries[at + 4 : at + 4 + size_bytes]
        (value_bytes,) = struct.unpack_from("<I", entries, at + 4 + size_bytes)
        yield _PREFIXES[kind & _KIND_MASK] + name.decode(errors="surrogateescape")
        at += 8 + size_bytes + value_bytes
