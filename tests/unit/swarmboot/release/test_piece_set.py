"""Sets of pieces as integers agree with Python's own sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.release import piece_set

indices = st.frozensets(st.integers(0, 300))


@given(indices)
def test_a_set_holds_what_was_put_in_rising(members: frozenset[int]) -> None:
    assert list(piece_set.each(piece_set.of(members))) == sorted(members)


@given(indices, st.integers(0, 40))
def test_a_set_comes_back_from_its_bytes(members: frozenset[int], spare: int) -> None:
    count = max(members, default=-1) + 1 + spare
    data = piece_set.encode(piece_set.of(members), count)
    assert len(data) == (count + 7) // 8
    assert piece_set.decode(data, count) == piece_set.of(members)


@given(st.integers(0, 100))
def test_all_pieces_are_the_span_from_the_first(count: int) -> None:
    assert piece_set.all_pieces(count) == piece_set.span(0, count) == piece_set.of(range(count))


@given(st.integers(0, 100), st.integers(0, 100))
def test_a_span_is_contiguous(first: int, count: int) -> None:
    assert piece_set.span(first, count) == piece_set.of(range(first, first + count))


@given(indices.filter(bool), st.integers(1, 400))
def test_the_first_run_is_the_lowest_contiguous_one_cut_to_size(members: frozenset[int], most: int) -> None:
    start, length = piece_set.first_run(piece_set.of(members), most)
    assert start == min(members)
    assert set(range(start, start + length)) <= members
    assert length == most or start + length not in members
    assert 1 <= length <= most


def test_an_empty_set_has_no_run() -> None:
    assert piece_set.first_run(0, 5) == (0, 0)


def test_piece_0_is_the_lowest_bit_of_the_first_byte() -> None:
    assert piece_set.encode(piece_set.of([0, 9]), 10) == b"\x01\x02"


@pytest.mark.parametrize(("data", "count"), [(b"", 1), (b"\x01\x00", 8), (b"\x04", 2), (b"\x01", 0)])
def test_bytes_that_do_not_fit_the_torrent_are_refused(data: bytes, count: int) -> None:
    with pytest.raises(ValueError, match=f"not a set of {count} pieces"):
        piece_set.decode(data, count)
