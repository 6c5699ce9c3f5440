"""Sets of pieces as integers: bit i stands for piece i.

An integer of a few thousand bits is the fastest set Python has: union, difference and count run in machine words. On
the wire a set is its little-endian bytes, so piece 0 is the lowest bit of the first byte (unlike BEP 3's bitfield).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from swarmboot.ids import PieceIndex
from swarmboot.release.merkle import BLOCK_BYTES

Pieces = int
"""A set of pieces; bit i is set when piece i is in it."""

_MANY_PIECES = 16384


def piece_bytes_for(size_bytes: int) -> int:
    """Return the piece length for a file of that size, in bytes.

    Small pieces enter the swarm sooner, large ones cost less processor time and metadata: 16 KiB below 1 MiB, 64 KiB
    below 64 MiB, 128 KiB to 2 GiB, then doubled to keep at most 16384 pieces.
    """
    if size_bytes < 1 << 20:
        return BLOCK_BYTES
    piece_bytes = 1 << 16 if size_bytes < 1 << 26 else 1 << 17
    while size_bytes > piece_bytes * _MANY_PIECES:
        piece_bytes *= 2
    return piece_bytes


def piece_count(size_bytes: int, piece_bytes: int) -> int:
    """Return how many pieces a file has; the last may be shorter."""
    return -(-size_bytes // piece_bytes)


def all_pieces(count: int) -> Pieces:
    """Return the set of the first `count` pieces."""
    return (1 << count) - 1


def span(first: int, count: int) -> Pieces:
    """Return the set of `count` pieces from `first` on."""
    return ((1 << count) - 1) << first


def of(indices: Iterable[int]) -> Pieces:
    """Return the set of these pieces."""
    pieces = 0
    for index in indices:
        pieces |= 1 << index
    return pieces


def each(pieces: Pieces) -> Iterator[PieceIndex]:
    """Yield the pieces of the set in rising order."""
    while pieces:
        low = pieces & -pieces
        yield PieceIndex(low.bit_length() - 1)
        pieces ^= low


def first_run(pieces: Pieces, most: int) -> tuple[PieceIndex, int]:
    """Return the start and length of the lowest contiguous run, cut to `most`; (0, 0) of an empty set."""
    if not pieces:
        return PieceIndex(0), 0
    start = (pieces & -pieces).bit_length() - 1
    shifted = pieces >> start
    length = (~shifted & (shifted + 1)).bit_length() - 1
    return PieceIndex(start), min(length, most)


def encode(pieces: Pieces, count: int) -> bytes:
    """Return the set as the little-endian bytes of a torrent of `count` pieces."""
    return pieces.to_bytes((count + 7) // 8, "little")


def decode(data: bytes, count: int) -> Pieces:
    """Return the set that `encode` wrote; raise ValueError if the length or a spare bit does not fit `count`."""
    pieces = int.from_bytes(data, "little")
    if len(data) != (count + 7) // 8 or pieces >> count:
        raise ValueError(f"not a set of {count} pieces")
    return pieces
