"""Parts of a file as (first byte, size): pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

ByteRanges = tuple[tuple[int, int], ...]
"""Rising, none touching the next."""


def of_pieces(indices: Iterable[int], *, piece_bytes: int, size_bytes: int) -> ByteRanges:
    """Return the bytes of these pieces, rising, neighbours joined."""
    joined: list[tuple[int, int]] = []
    for index in indices:
        first = index * piece_bytes
        size = min(piece_bytes, size_bytes - first)
        if joined and sum(joined[-1]) == first:
            joined[-1] = (joined[-1][0], joined[-1][1] + size)
        else:
            joined.append((first, size))
    return tuple(joined)


def common(some: ByteRanges, others: ByteRanges) -> ByteRanges:
    """Return the bytes that are in both."""
    found, rest = [], iter(others)
    other = next(rest, None)
    for first, size in some:
        while other is not None:
            low, high = max(first, other[0]), min(first + size, sum(other))
            if low < high:
                found.append((low, high - low))
            if sum(other) > first + size:
                break
            other = next(rest, None)
    return tuple(found)


def in_requests(ranges: ByteRanges, *, most_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield parts of at most so many bytes."""
    for first, size in ranges:
        for start in range(first, first + size, most_bytes):
            yield start, min(most_bytes, first + size - start)


def size_of(ranges: ByteRanges) -> int:
    """Return how many bytes they are together."""
    return sum(size for _, size in ranges)
