"""Chunk lists: by which an image is put together out of another that is there already.

One changed size shifts everything behind it, so pieces, which lie on a grid, are never the same in the next release.
Chunks end where the bytes themselves say so, and come back wherever they lie. Where that is, is the publisher's
affair; a reader needs lengths and digests alone. A list is a blob of the site, named with its digest and size in the
signed manifest, and optional there. Nothing is believed of an old image: what was put together is checked by the
torrent's hashes, as if it had come from a stranger.

Pure. It reads no file, and it decides nothing about what is worth copying.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

from swarmboot.codec import DecodeError, Fields, pack, unpack
from swarmboot.errors import ManifestError
from swarmboot.ids import DIGEST_BYTES

MIN_CHUNK_BYTES = 1 << 14
MAX_CHUNK_BYTES = 1 << 18
MAX_CHUNKS = 1 << 20
CHUNK_LIST_MAX_BYTES = MAX_CHUNKS * (DIGEST_BYTES + 4) + 256
_FORMAT = 1
_LENGTH_BYTES = 4

Image = TypeVar("Image")


class Chunk(NamedTuple):
    """Bytes of an image, and their SHA-256."""

    first_byte: int
    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ChunkList:
    """An image's chunks from its first byte to its last: their lengths, and their digests as one string of bytes."""

    lengths: tuple[int, ...]
    digests: bytes

    @property
    def size_bytes(self) -> int:
        """Return the size of the image."""
        return sum(self.lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Chunk]:
        first_byte = 0
        for index, length in enumerate(self.lengths):
            yield Chunk(first_byte, length, self.digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES])
            first_byte += length


def encode_chunks(chunks: ChunkList) -> bytes:
    """Return the list's one encoding: what the manifest pins."""
    lengths = struct.pack(f"<{len(chunks)}I", *chunks.lengths)
    return pack({"format": _FORMAT, "lengths": lengths, "sha256": chunks.digests})


def decode_chunks(data: bytes, *, size_bytes: int) -> ChunkList:
    """Return the list in these bytes, of an image of that size; raise ManifestError for what is none.

    Every chunk but the last is from 16 to 256 KiB long, so that no list is longer than its image deserves.
    """
    try:
        return _decode(data, size_bytes)
    except DecodeError as error:
        hint = "it is passed over; publish again, with the same version of swarmboot"
        raise ManifestError(f"the list of an image's chunks cannot be used: {error}", hint=hint) from error


def _decode(data: bytes, size_bytes: int) -> ChunkList:
    fields = Fields(unpack(data, max_bytes=CHUNK_LIST_MAX_BYTES), "chunks")
    if fields.integer("format") != _FORMAT:
        raise DecodeError(f"format {fields.integer('format')}, this version knows {_FORMAT}")
    fields.check_critical(frozenset())
    packed = fields.raw("lengths", most=MAX_CHUNKS * _LENGTH_BYTES)
    count, rest = divmod(len(packed), _LENGTH_BYTES)
    if rest:
        raise DecodeError(f"chunks.lengths is {len(packed)} bytes, no multiple of {_LENGTH_BYTES}")
    digests = fields.raw("sha256", exactly=count * DIGEST_BYTES, most=MAX_CHUNKS * DIGEST_BYTES)
    lengths = struct.unpack(f"<{count}I", packed)
    if 0 in lengths:
        raise DecodeError("a chunk of no bytes")
    if any(length < MIN_CHUNK_BYTES for length in lengths[:-1]):
        raise DecodeError(f"a chunk of less than {MIN_CHUNK_BYTES} bytes before the end")
    if max(lengths, default=0) > MAX_CHUNK_BYTES:
        raise DecodeError(f"a chunk of more than {MAX_CHUNK_BYTES} bytes")
    if sum(lengths) != size_bytes:
        raise DecodeError(f"chunks of {sum(lengths)} bytes together, the image has {size_bytes}")
    return ChunkList(lengths, digests)


@dataclass(frozen=True, slots=True)
class Copy(Generic[Image]):
    """Bytes of a new image that an old one has: where they go, how many, and where they are."""

    first_byte: int
    size_bytes: int
    source: Image
    source_first_byte: int

    def _is_followed_by(self, other: Copy[Image]) -> bool:
        shift = self.source_first_byte - self.first_byte
        return (self.first_byte + self.size_bytes, self.source, shift) == (
            other.first_byte, other.source, other.source_first_byte - other.first_byte,
        )  # fmt: skip


def copies(wanted: ChunkList, olds: Mapping[Image, ChunkList]) -> tuple[Copy[Image], ...]:
    """Return what of the image wanted the old ones have, by their lists; rising, neighbours joined.

    Where several have a chunk, the first of them is taken. Memory is in proportion to the list wanted alone.
    """
    needed = {chunk.sha256 for chunk in wanted}
    places: dict[bytes, tuple[Image, int]] = {}
    for source, old in olds.items():
        for chunk in old:
            if chunk.sha256 in needed:
                places.setdefault(chunk.sha256, (source, chunk.first_byte))
    joined: list[Copy[Image]] = []
    for chunk in wanted:
        if chunk.sha256 not in places:
            continue
        copy = Copy(chunk.first_byte, chunk.size_bytes, *places[chunk.sha256])
        if joined and joined[-1]._is_followed_by(copy):
            joined[-1] = replace(joined[-1], size_bytes=joined[-1].size_bytes + copy.size_bytes)
        else:
            joined.append(copy)
    return tuple(joined)


def gaps(copied: tuple[Copy[Image], ...], *, size_bytes: int) -> tuple[tuple[int, int], ...]:
    """Return what copies leave of an image, as first byte and size, rising."""
    edges = [0, *(edge for copy in copied for edge in (copy.first_byte, copy.first_byte + copy.size_bytes)), size_bytes]
    return tuple(
        (first, end - first) for index, (first, end) in enumerate(pairwise(edges)) if index % 2 == 0 and end > first
    )
