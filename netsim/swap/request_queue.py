"""What nodes of an ordinary swarm have requested ahead of a seed: libtorrent's queue of requests, as it comes.

A node keeps so many requests with a peer as take `request_queue_time` (3 s) at the rate measured, at least
`min_request_queue` (2 blocks) and at most `max_out_request_queue` (500). The rate is a mean that every second gives way
by a fifth to the last second. A new connection is in slow start instead: 4 requests and one more for each block that
came, until a second brings no more than the one before it, by 5 kB. The requests are for pieces of the least
availability, at random among them, and renewed one by one.

What was requested of a seed is sent, in order: it is in the buffers of the seed, its kernel and its link before the
piece comes another way. That is how several nodes come to fetch the same piece from a seed. Deviations: a node has
such a queue at one seed; requests are whole pieces; messages take no time of their own (`BEHIND_BYTES` stands for it).
It knows no rates but what it is told, and no flows.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from netsim.scenario.arrays import Flags, Floats, Ints
from netsim.swap.piece_words import WORD, Words

BLOCK_BYTES = 16 * 1024
QUEUE_S = 3.0
MIN_BLOCKS, MAX_BLOCKS, FIRST_BLOCKS = 2, 500, 4
KEPT = 0.8
"""What a second leaves of the mean of a rate."""
BEHIND_BYTES = 225_000
"""A node hears late of what others have: their messages wait in ports' queues behind the data. It requests meanwhile
what is no longer rare, as if it requested so much further ahead. Fitted: three fifths of the lab's queue of 375 kB."""
STEADY_BYTES = 5000
"""How much more than the second before a second must bring for slow start to go on."""


class RequestQueues:
    """The requests of every end with its seed. `asked` has them as columns of words."""

    def __init__(self, ends: int, words: int, *, piece_bytes: float, random: np.random.Generator) -> None:
        """Take how many ends and words of pieces there are."""
        self.asked: Words = np.zeros((words, ends), np.uint64)
        self.seed_of: Ints = np.full(ends, -1)
        self._queues: list[deque[int]] = [deque() for _ in range(ends)]
        self.length: Ints = np.zeros(ends, np.int64)
        self._piece_bytes = piece_bytes
        self._is_slow_start = np.ones(ends, np.bool_)
        self._mean: Floats = np.zeros(ends)
        self._received: Floats = np.zeros(ends)
        self._second: Floats = np.zeros(ends)
        self._last_second: Floats = np.zeros(ends)
        self._tick_s: Floats = np.zeros(ends)
        self._random = random

    def begin(self, end: int, seed: int, *, now_s: float) -> None:
        """Have an end keep requests with a seed from now on."""
        self.seed_of[end] = seed
        self._tick_s[end] = now_s + self._random.random()

    def end(self, ends: Flags) -> None:
        """Drop the requests of these ends: their seed is gone."""
        self.asked[:, ends] = 0
        self.seed_of[ends] = -1
        self.length[ends] = 0
        for end in ends.nonzero()[0]:
            self._queues[end].clear()

    def received(self, ends: Ints, sizes: Floats, *, now_s: float) -> None:
        """Take note of what these ends received from their seeds up to now."""
        self._received[ends] += sizes
        self._second[ends] += sizes
        due = ends[self._tick_s[ends] <= now_s]
        if not len(due):
            return
        second, before = self._second[due], self._last_second[due]
        self._is_slow_start[due] &= (before == 0) | (second > before + STEADY_BYTES)
        self._mean[due] = KEPT * self._mean[due] + (1 - KEPT) * second
        self._last_second[due] = second
        self._second[due] = 0.0
        self._tick_s[due] += 1.0

    def short(self, ends: Ints) -> Ints:
        """Return how many pieces each of these ends should request more, beside the one on its way."""
        growing = FIRST_BLOCKS * BLOCK_BYTES + self._received[ends]
        steady = np.maximum(QUEUE_S * self._mean[ends], MIN_BLOCKS * BLOCK_BYTES) + BEHIND_BYTES
        wanted = np.minimum(np.where(self._is_slow_start[ends], growing, steady), MAX_BLOCKS * BLOCK_BYTES)
        pieces = np.maximum(1, np.rint(wanted / self._piece_bytes).astype(np.int64) - 1)
        return np.asarray(pieces - self.length[ends])

    def request(self, ends: Ints, words: Ints, bits: Words) -> None:
        """Add a request for one piece, a bit of a word, to each of these ends' queues."""
        self.asked[words, ends] |= bits
        self.length[ends] += 1
        for end, word, bit in zip(ends.tolist(), words.tolist(), bits.tolist(), strict=True):
            self._queues[end].append(word * WORD + bit.bit_length() - 1)

    def take(self, end: int) -> tuple[int, int] | None:
        """Return the piece that a seed sends an end next, as a word and its bit."""
        if not self.length[end]:
            return None
        self.length[end] -= 1
        piece = self._queues[end].popleft()
        word, bit = piece // WORD, 1 << piece % WORD
        self.asked[word, end] &= np.uint64(~bit & (1 << WORD) - 1)
        return word, bit
