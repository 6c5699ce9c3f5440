"""Parts of a file, by arithmetic that is checked against sets of bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seeder.pull.byte_ranges import ByteRanges, common, in_requests, of_pieces, size_of


def ranges_of(bytes_in: set[int]) -> ByteRanges:
    """Return a set of bytes as rising ranges."""
    found: list[tuple[int, int]] = []
    for byte in sorted(bytes_in):
        if found and sum(found[-1]) == byte:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((byte, 1))
    return tuple(found)


def bytes_of(ranges: ByteRanges) -> set[int]:
    return {byte for first, size in ranges for byte in range(first, first + size)}


sets = st.sets(st.integers(0, 60))


@given(sets, sets)
def test_what_two_have_in_common_is_what_both_hold(some: set[int], others: set[int]) -> None:
    assert common(ranges_of(some), ranges_of(others)) == ranges_of(some & others)


@given(sets, st.integers(1, 70))
def test_pieces_are_bytes_and_the_last_may_be_shorter(pieces: set[int], rest: int) -> None:
    size_bytes = 61 * 70 - 70 + rest
    found = of_pieces(sorted(pieces), piece_bytes=70, size_bytes=size_bytes)
    assert found == ranges_of({byte for byte in range(size_bytes) if byte // 70 in pieces})


@given(sets, st.integers(1, 9))
def test_requests_together_are_what_is_wanted_and_none_is_too_large(wanted: set[int], most: int) -> None:
    requests = tuple(in_requests(ranges_of(wanted), most_bytes=most))
    assert bytes_of(requests) == wanted
    assert size_of(requests) == len(wanted)
    assert max((size for _, size in requests), default=0) <= most
