"""How far ahead of a seed an ordinary client requests: libtorrent's slow start, then three seconds of the mean rate."""

from __future__ import annotations

import numpy as np
import pytest

from netsim.swap.piece_words import WORD
from netsim.swap.request_queue import (
    BEHIND_BYTES,
    BLOCK_BYTES,
    FIRST_BLOCKS,
    LEAST_BLOCKS,
    MAX_BLOCKS,
    QUEUE_S,
    Hoards,
)

NODE, SEED = np.array([0]), 3
STEADY = 100 * BLOCK_BYTES
BEHIND = BEHIND_BYTES / BLOCK_BYTES


def build_hoards() -> Hoards:
    hoards = Hoards(4, 2, piece_bytes=BLOCK_BYTES, random=np.random.default_rng(1))
    hoards.begin(0, SEED, now_s=0.0)
    return hoards


def receive(hoards: Hoards, bytes_per_s: float, *, seconds: int, begin_s: int = 0) -> None:
    for second in range(begin_s, begin_s + seconds):
        hoards.received(NODE, np.array([bytes_per_s]), now_s=second + 1.0)


def requested(hoards: Hoards) -> int:
    """Return how many blocks the node keeps requested, the one on its way among them."""
    return int(hoards.short(NODE)[0]) + int(hoards.length[0]) + 1


def test_a_new_connection_requests_one_more_for_each_block_that_came() -> None:
    hoards = build_hoards()
    assert requested(hoards) == FIRST_BLOCKS
    hoards.received(NODE, np.array([7.0 * BLOCK_BYTES]), now_s=0.0)
    assert requested(hoards) == FIRST_BLOCKS + 7


def test_after_a_second_that_brought_no_more_it_is_three_seconds_of_the_mean_rate() -> None:
    hoards = build_hoards()
    receive(hoards, STEADY, seconds=2)
    assert requested(hoards) == pytest.approx(QUEUE_S * (1 - 0.8**2) * 100 + BEHIND, abs=1)
    receive(hoards, STEADY, seconds=30, begin_s=2)
    assert requested(hoards) == pytest.approx(QUEUE_S * 100 + BEHIND, abs=1)


def test_the_queue_keeps_within_its_bounds() -> None:
    fast, slow = build_hoards(), build_hoards()
    receive(fast, 100 * STEADY, seconds=20)
    receive(slow, 10.0, seconds=20)
    assert requested(fast) == MAX_BLOCKS
    assert requested(slow) == pytest.approx(LEAST_BLOCKS + BEHIND, abs=1)


def test_what_was_requested_is_sent_in_order_and_only_once() -> None:
    hoards = build_hoards()
    for word, bit in ((1, 5), (0, 63), (1, 2)):
        hoards.request(NODE, np.array([word]), np.array([1 << bit], np.uint64))
    assert int(hoards.asked[1, 0]) == 1 << 5 | 1 << 2
    assert [hoards.take(0) for _ in range(4)] == [(1, 1 << 5), (0, 1 << WORD - 1), (1, 1 << 2), None]
    assert not hoards.asked.any()


def test_without_its_seed_a_node_has_requested_nothing() -> None:
    hoards = build_hoards()
    hoards.request(NODE, NODE, np.array([1], np.uint64))
    hoards.end(hoards.seed_of == SEED)
    assert hoards.take(0) is None
    assert not hoards.asked.any()
