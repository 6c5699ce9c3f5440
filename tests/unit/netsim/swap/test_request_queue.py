"""How far ahead of a seed an ordinary client requests: libtorrent's slow start, then three seconds of the mean rate."""

from __future__ import annotations

import numpy as np
import pytest

from netsim.swap.piece_words import WORD
from netsim.swap.request_queue import (
    BEHIND_BYTES,
    BLOCK_BYTES,
    FIRST_BLOCKS,
    MAX_BLOCKS,
    MIN_BLOCKS,
    QUEUE_S,
    RequestQueues,
)

NODE, SEED = np.array([0]), 3
STEADY = 100 * BLOCK_BYTES
BEHIND = BEHIND_BYTES / BLOCK_BYTES


def build_queues() -> RequestQueues:
    queues = RequestQueues(4, 2, piece_bytes=BLOCK_BYTES, random=np.random.default_rng(1))
    queues.begin(0, SEED, now_s=0.0)
    return queues


def receive(queues: RequestQueues, bytes_per_s: float, *, seconds: int, begin_s: int = 0) -> None:
    for second in range(begin_s, begin_s + seconds):
        queues.received(NODE, np.array([bytes_per_s]), now_s=second + 1.0)


def requested(queues: RequestQueues) -> int:
    """Return how many blocks the node keeps requested, the one on its way among them."""
    return int(queues.short(NODE)[0]) + int(queues.length[0]) + 1


def test_a_new_connection_requests_one_more_for_each_block_that_came() -> None:
    queues = build_queues()
    assert requested(queues) == FIRST_BLOCKS
    queues.received(NODE, np.array([7.0 * BLOCK_BYTES]), now_s=0.0)
    assert requested(queues) == FIRST_BLOCKS + 7


def test_after_a_second_that_brought_no_more_it_is_three_seconds_of_the_mean_rate() -> None:
    queues = build_queues()
    receive(queues, STEADY, seconds=2)
    assert requested(queues) == pytest.approx(QUEUE_S * (1 - 0.8**2) * 100 + BEHIND, abs=1)
    receive(queues, STEADY, seconds=30, begin_s=2)
    assert requested(queues) == pytest.approx(QUEUE_S * 100 + BEHIND, abs=1)


def test_the_queue_keeps_within_its_bounds() -> None:
    fast, slow = build_queues(), build_queues()
    receive(fast, 100 * STEADY, seconds=20)
    receive(slow, 10.0, seconds=20)
    assert requested(fast) == MAX_BLOCKS
    assert requested(slow) == pytest.approx(MIN_BLOCKS + BEHIND, abs=1)


def test_what_was_requested_is_sent_in_order_and_only_once() -> None:
    queues = build_queues()
    for word, bit in ((1, 5), (0, 63), (1, 2)):
        queues.request(NODE, np.array([word]), np.array([1 << bit], np.uint64))
    assert int(queues.asked[1, 0]) == 1 << 5 | 1 << 2
    assert [queues.take(0) for _ in range(4)] == [(1, 1 << 5), (0, 1 << WORD - 1), (1, 1 << 2), None]
    assert not queues.asked.any()


def test_without_its_seed_a_node_has_requested_nothing() -> None:
    queues = build_queues()
    queues.request(NODE, NODE, np.array([1], np.uint64))
    queues.end(queues.seed_of == SEED)
    assert queues.take(0) is None
    assert not queues.asked.any()
