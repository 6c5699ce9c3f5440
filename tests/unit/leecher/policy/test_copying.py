"""What is left to a cache: what it brings in time, and nothing of one that stands still."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leecher.policy.copying import Copying, CopyLimits, covered
from leecher.policy.node_policy import Wanted
from swarmboot.ids import InfoHash, PieceIndex
from swarmboot.release import piece_set

ROOT = InfoHash(b"r" * 32)
LIMITS = CopyLimits()
PIECE_BYTES = 1 << 16
COUNT = 1000
NETWORK = 100.0 * PIECE_BYTES


def build_copying(*, first: int = 0) -> Copying:
    wanted = {ROOT: Wanted(ROOT, COUNT, PIECE_BYTES, first)}
    copying = Copying(wanted, {ROOT: piece_set.all_pieces(COUNT)})
    copying.began(now_s=0.0)
    return copying


def copy(copying: Copying, pieces: range, *, from_s: float, pieces_per_s: float) -> float:
    """Have pieces come and settle at a rate; return when the last did."""
    for number, index in enumerate(pieces, 1):
        now_s = from_s + number / pieces_per_s
        copying.came(ROOT, now_s=now_s)
        copying.settled(ROOT, PieceIndex(index))
    return now_s


def test_pieces_lie_whole_in_what_is_copied_however_many_spans_it_is() -> None:
    assert covered([(0, 10), (10, 22)], size_bytes=100, piece_bytes=16) == 0b11
    assert covered([(1, 31)], size_bytes=100, piece_bytes=16) == 0b10
    assert covered([(0, 16), (17, 14)], size_bytes=100, piece_bytes=16) == 0b1
    assert covered([], size_bytes=100, piece_bytes=16) == 0


def test_a_last_piece_that_is_short_lies_whole_in_a_span_up_to_the_end() -> None:
    assert covered([(96, 4)], size_bytes=100, piece_bytes=16) == 1 << 6
    assert covered([(96, 3)], size_bytes=100, piece_bytes=16) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=12), st.sampled_from([4, 16, 64]))
def test_covered_is_what_counting_bytes_gives(runs: list[tuple[bool, int]], piece_bytes: int) -> None:
    spans: list[tuple[int, int]] = []
    marks: list[bool] = []
    for is_copied, length in runs:
        if is_copied:
            spans.append((len(marks), length))
        marks += [is_copied] * length
    size_bytes = len(marks)
    starts = range(0, size_bytes, piece_bytes)
    wanted = piece_set.of(n for n, at in enumerate(starts) if all(marks[at : at + piece_bytes]))
    assert covered(spans, size_bytes=size_bytes, piece_bytes=piece_bytes) == wanted


def test_all_is_left_to_a_cache_that_is_as_fast_as_the_network() -> None:
    copying = build_copying()
    now_s = copy(copying, range(200), from_s=0.0, pieces_per_s=150)
    assert not copying.look(network_bytes_per_s=NETWORK, now_s=now_s)
    assert copying.expected[ROOT].bit_count() == COUNT - 200


def test_a_cache_that_is_slower_keeps_its_share_of_what_is_left_and_that_is_read_first() -> None:
    copying = build_copying()
    now_s = copy(copying, range(100), from_s=0.0, pieces_per_s=25)
    assert copying.look(network_bytes_per_s=NETWORK, now_s=now_s)
    kept = copying.expected[ROOT]
    assert kept == piece_set.span(100, (COUNT - 100) * 25 // 125)
    assert not copying.look(network_bytes_per_s=NETWORK, now_s=now_s)


def test_while_both_work_as_fast_as_was_thought_nothing_more_is_taken_from_a_slow_cache() -> None:
    copying = build_copying()
    now_s = copy(copying, range(100), from_s=0.0, pieces_per_s=25)
    copying.look(network_bytes_per_s=NETWORK, now_s=now_s)
    kept = copying.expected[ROOT].bit_count()
    for index in range(COUNT - 400, COUNT):
        copying.settled(ROOT, PieceIndex(index))  # the network brought them, the last ones, in four seconds
    now_s = copy(copying, range(100, 200), from_s=now_s, pieces_per_s=25)
    copying.look(network_bytes_per_s=NETWORK, now_s=now_s)
    assert copying.expected[ROOT].bit_count() in (kept - 100, kept - 101)


def test_a_cache_that_brings_nothing_for_a_while_is_relied_upon_no_more() -> None:
    copying = build_copying()
    now_s = copy(copying, range(500), from_s=0.0, pieces_per_s=1000)
    assert not copying.look(network_bytes_per_s=NETWORK, now_s=now_s + LIMITS.stall_s * 0.9)
    assert copying.look(network_bytes_per_s=NETWORK, now_s=now_s + LIMITS.stall_s)
    assert copying.is_over
    assert copying.next_wake_s(now_s=now_s) == math.inf


def test_a_cache_that_never_brought_anything_is_relied_upon_no_more() -> None:
    copying = build_copying()
    assert copying.look(network_bytes_per_s=0.0, now_s=LIMITS.learn_s)
    assert copying.is_over


def test_nothing_is_said_of_a_cache_before_it_was_tried() -> None:
    copying = build_copying()
    assert not copying.look(network_bytes_per_s=NETWORK, now_s=LIMITS.learn_s * 0.9)
    assert copying.next_wake_s(now_s=0.0) == LIMITS.look_s


@pytest.mark.parametrize("first", [0, 0b1010 << 500])
def test_what_a_boot_reads_first_is_read_first(first: int) -> None:
    order = [index for _, index in build_copying(first=first).order]
    wanted = list(piece_set.each(first))
    assert order[: len(wanted)] == wanted
    assert sorted(order) == list(range(COUNT))
