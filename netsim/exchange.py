"""Nodes that swap pieces: what libtorrent does in each of them, as one fluid over arrays.

Sets of pieces are rows of 64-bit words, as in `swarmboot.pieces`; a node keeps up to `flows` flows, each from one
neighbour, each with a short queue of requested pieces out of one word. Deviations from libtorrent:

* A flow asks for pieces of one word (64 pieces in a row) at a time, up to `queue` of them, and they count `unit` at a
  time; a block is not seen, only pieces. With `unit` above 1 a fleet of thousands is coarser in its last piece.
* Rarest first is by a sample of up to 64 nodes, and by two classes (rare, not rare), not by a node's own neighbours.
* A node with more neighbours than `flows` asks a random few of them at a time; libtorrent asks them all.
* Nobody is choked: on a LAN libtorrent's local peer class unchokes everyone.
* When all that is lacking has been requested, idle flows ask for it a second time, as in libtorrent's end game; the
  slower copy is cancelled at the next epoch, not at once.
* A neighbour that sends corrupt blocks is found out at its first unit, which is thrown away, and not asked again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from netsim.flows import Floats, Ints
from netsim.words import WORD, Words, full_words, low_bits, popcount, to_pieces

SWAP_OVERHEAD = 1.01
"""Message headers, haves and the acknowledgements of what flows the other way."""

_DRY_SHARE = 0.35
_PRIORITY_ROWS = 16
_SAMPLE = 64
_RARE_EVERY = 4
_RARE_SHARE = 0.3
_PASSES = 6


@dataclass(frozen=True, slots=True)
class Habits:
    """How a node swaps: flows at a time, pieces requested ahead of each, and pieces that count at a time."""

    flows: int = 16
    queue: int = 4
    unit: int = 1


class PieceExchange:
    """The pieces of every node and the flows between them. Ends are nodes, then sources, as in `Topology`."""

    def __init__(
        self,
        ends: int,
        torrents: tuple[tuple[int, int], ...],
        *,
        habits: Habits,
        random: np.random.Generator,
        on_complete: Callable[[int, float], None],
    ) -> None:
        """Take the torrents as (pieces, piece bytes); each begins at a word of its own."""
        self.habits = habits
        self._random = random
        self._on_complete = on_complete
        words = [full_words(pieces) for pieces, _ in torrents]
        self.starts = np.cumsum([0, *(len(each) for each in words)])
        self.everything: Words = np.concatenate(words)
        self.total = sum(pieces for pieces, _ in torrents)
        self._unit_bytes = np.repeat([float(size) for _, size in torrents], [len(each) for each in words])
        width = len(self.everything)
        self.have: Words = np.zeros((ends, width), np.uint64)
        self._busy: Words = np.zeros((ends, width), np.uint64)
        self.count: Ints = np.zeros(ends, np.int64)
        self.received: Floats = np.zeros(ends)
        self.unsent: Floats = np.zeros(ends)
        self.touched_s: Floats = np.zeros(ends)
        self.hash_failures: Ints = np.zeros(ends, np.int64)
        self.is_corrupt = np.zeros(ends, np.bool_)
        self.is_up = np.zeros(ends, np.bool_)
        self.is_fetching = np.zeros(ends, np.bool_)
        self._sender: Ints = np.full((ends, habits.flows), -1)
        self._word: Ints = np.zeros((ends, habits.flows), np.int64)
        self._queue: Words = np.zeros((ends, habits.flows), np.uint64)
        self._left: Floats = np.zeros((ends, habits.flows))
        self._last: Ints = np.zeros((ends, habits.flows), np.int64)
        self.neighbours: Ints = np.full((ends, 32), -1)
        self.degree: Ints = np.zeros(ends, np.int64)
        self._rows: Ints = np.zeros(0, np.int64)
        self._columns: Ints = np.zeros(0, np.int64)
        self._is_complete = np.zeros(ends, np.bool_)
        self._rare = self.everything
        self._epochs = 0
        self._linked: set[tuple[int, int]] = set()

    def connect(self, one: int, other: int) -> None:
        """Make two ends neighbours; once is enough."""
        key = (min(one, other), max(one, other))
        if one == other or key in self._linked:
            return
        self._linked.add(key)
        for end, peer in ((one, other), (other, one)):
            if self.degree[end] == self.neighbours.shape[1]:
                self.neighbours = np.concatenate([self.neighbours, np.full_like(self.neighbours, -1)], axis=1)
            self.neighbours[end, self.degree[end]] = peer
            self.degree[end] += 1

    def _ban(self, end: int, peer: int) -> None:
        row = self.neighbours[end, : self.degree[end]]
        kept = row[row != peer]
        self.neighbours[end, : len(kept)] = kept
        self.degree[end] = len(kept)

    def begin(self, end: int) -> None:
        """Have an end serve what it has, and fetch what it lacks."""
        self.is_up[end] = True
        self.is_fetching[end] = not self._is_complete[end]

    def leave(self, end: int) -> None:
        """Take an end away: it serves and fetches no more."""
        self.is_up[end] = self.is_fetching[end] = False
        self._sender[end] = -1

    def insert(self, end: int, torrent: int, piece: int, now_s: float) -> None:
        """Count a piece that came from elsewhere than a neighbour."""
        word, bit = int(self.starts[torrent]) + piece // WORD, np.uint64(1 << (piece % WORD))
        if not self.have[end, word] & bit:
            self.have[end, word] |= bit
            self._count(np.array([end]), np.array([now_s]))

    def pieces_of(self, end: int, torrent: int) -> int:
        """Return what an end has of a torrent, as `swarmboot.pieces` writes it."""
        return to_pieces(self.have[end, self.starts[torrent] : self.starts[torrent + 1]])

    def fill(self, end: int) -> None:
        """Give an end everything."""
        self.have[end] = self.everything
        self.count[end] = self.total
        self._is_complete[end] = True

    @property
    def is_busy(self) -> bool:
        """Return whether any node still wants pieces."""
        return bool(self.is_fetching.any())

    def open_flows(self, now_s: float) -> tuple[Ints, Ints]:  # noqa: ARG002 - the engine's signature
        """Start what can start and return senders and receivers of all flows."""
        fetching = np.flatnonzero(self.is_fetching & (self.degree > 0))
        moved = self._rows, self._columns
        self._rows = self._columns = np.zeros(0, np.int64)
        if not len(fetching):
            self._forget_overshoot(*moved)
            return self._rows, self._columns
        self._cancel(fetching)
        self._epochs += 1
        if self._epochs % _RARE_EVERY == 1:
            self._rare = self._rarest()
        rare = self._rare
        for _ in range(min(_PASSES, -(-self.habits.flows // self.have.shape[1]))):
            rows, columns = np.nonzero(self._sender[fetching] < 0)
            self._ask(fetching[rows], columns, rare)
        rows, columns = np.nonzero(self._sender[fetching] >= 0)
        self._rows, self._columns = fetching[rows], columns
        self._forget_overshoot(*moved)
        return self._sender[self._rows, self._columns], self._rows

    def _forget_overshoot(self, rows: Ints, columns: Ints) -> None:
        """Uncount what those flows that ran dry would have moved on to the epoch's end, unless they go on at once."""
        is_dry = (self._left[rows, columns] < 0) & (self._sender[rows, columns] < 0)
        rows, columns = rows[is_dry], columns[is_dry]
        self._uncount(rows, columns, -self._left[rows, columns])
        self._left[rows, columns] = 0.0

    def _uncount(self, rows: Ints, columns: Ints, over: Floats) -> None:
        """Take back bytes that these flows' last senders were counted to send and had nothing to."""
        np.subtract.at(self.received, rows, over / SWAP_OVERHEAD)
        np.add.at(self.unsent, self._last[rows, columns], over)

    def _cancel(self, fetching: Ints) -> None:
        """Drop requests for pieces that have come another way, and flows whose sender is gone."""
        rows, columns = np.nonzero(self._sender[fetching] >= 0)
        rows = fetching[rows]
        senders, words = self._sender[rows, columns], self._word[rows, columns]
        queue = self._queue[rows, columns] & ~self.have[rows, words]
        self._queue[rows, columns] = queue
        over = (queue == 0) | ~self.is_up[senders]
        self._sender[rows[over], columns[over]] = -1
        self._left[rows[over], columns[over]] = 0.0
        live = ~over
        self._busy[fetching] = 0
        np.bitwise_or.at(self._busy, (rows[live], words[live]), queue[live])

    def _rarest(self) -> Words:
        """Return the pieces that few of a sample of nodes have."""
        up = np.flatnonzero(self.is_up)
        sample = up if len(up) <= _SAMPLE else self._random.choice(up, _SAMPLE, replace=False)
        bits = np.unpackbits(self.have[sample].view(np.uint8), axis=1, bitorder="little").sum(axis=0)
        present = bits[bits > 0]
        place = int(_RARE_SHARE * (len(present) - 1)) if len(present) else 0
        threshold = np.partition(present, place)[place] if len(present) else 0
        return np.packbits(bits <= threshold, bitorder="little").view(np.uint64)

    def _ask(self, nodes: Ints, columns: Ints, rare: Words) -> None:
        """Give each of these nodes a flow in this column, if it is idle and the neighbour tried has something for it.

        Of two flows of a node that would ask for the same word, one waits for the next epoch.
        """
        nodes, columns, peers = self._candidates(nodes, columns)
        lacking = self.have[peers] & ~self.have[nodes]
        want = lacking & ~self._busy[nodes]
        is_end = ~(self.everything & ~(self.have[nodes] | self._busy[nodes])).any(axis=1)
        if is_end.any():
            want[is_end] = lacking[is_end]
        useful = np.flatnonzero(want.any(axis=1))
        nodes, columns, peers, want = nodes[useful], columns[useful], peers[useful], want[useful]
        rarest = want & rare
        want = np.where(rarest.any(axis=1)[:, None], rarest, want)
        priority = self._random.integers(1, 1 << 15, (_PRIORITY_ROWS, want.shape[1]), np.uint16)
        words = (priority[(nodes + 5 * columns) % _PRIORITY_ROWS] * (want != 0)).argmax(axis=1)
        first = _firsts(nodes * want.shape[1] + words, self.have.size)
        nodes, columns, peers, words = nodes[first], columns[first], peers[first], words[first]
        chosen = low_bits(want[first, words], self.habits.queue, self._random)
        self._sender[nodes, columns], self._word[nodes, columns] = peers, words
        self._queue[nodes, columns] = chosen
        left = self._left[nodes, columns] + self._bytes(words, chosen)
        self._uncount(nodes, columns, np.maximum(-left, 0.0))
        self._left[nodes, columns] = np.maximum(left, 0.0)
        self._last[nodes, columns] = peers
        self._busy[nodes, words] |= chosen

    def _candidates(self, nodes: Ints, columns: Ints) -> tuple[Ints, Ints, Ints]:
        """Return which idle flows try which neighbour: the column's own one, or any if there are many."""
        degree = self.degree[nodes]
        is_many = degree > self.habits.flows
        drawn = self._random.integers(0, 1 << 30, len(nodes)) % degree
        peers = self.neighbours[nodes, np.where(is_many, drawn, np.minimum(columns, degree - 1))]
        is_fit = self.is_up[peers] & (is_many | (columns < degree)) & (self.count[peers] > 0)
        senders = self._sender[nodes]
        is_fit &= (senders[np.arange(len(nodes)), columns] < 0) & ~(senders == peers[:, None]).any(axis=1)
        return nodes[is_fit], columns[is_fit], peers[is_fit]

    def _bytes(self, words: Ints, queue: Words) -> Floats:
        """Return the bytes of the next unit of a queue of requests."""
        size = self._unit_bytes[words] * SWAP_OVERHEAD
        return size if self.habits.unit == 1 else size * np.minimum(popcount(queue), self.habits.unit)

    def horizon_s(self, rates: Floats) -> float:
        """Return how long an epoch may last before a third of the flows have run dry."""
        if not len(rates):
            return math.inf
        with np.errstate(divide="ignore"):
            dry_s = self._left[self._rows, self._columns] / rates
        return float(np.partition(dry_s, place := int(len(dry_s) * _DRY_SHARE))[place])

    def advance(self, now_s: float, duration_s: float, rates: Floats) -> None:
        """Move the flows on and count the pieces that came in, each flow's at the moment it was through."""
        if not len(rates):
            return
        rows, columns = self._rows, self._columns
        self.received += np.bincount(rows, weights=rates * (duration_s / SWAP_OVERHEAD), minlength=len(self.received))
        self._left[rows, columns] -= rates * duration_s
        done = self._left[rows, columns] <= 0
        rows, columns, rates = rows[done], columns[done], rates[done]
        while len(rows):
            over_s = -self._left[rows, columns] / rates
            self._deliver(rows, columns, now_s + duration_s - over_s)
            goes_on = (self._sender[rows, columns] >= 0) & (self._left[rows, columns] <= 0)
            rows, columns, rates = rows[goes_on], columns[goes_on], rates[goes_on]

    def _deliver(self, rows: Ints, columns: Ints, times_s: Floats) -> None:
        """Count the next unit of each of these flows."""
        words, queue = self._word[rows, columns], self._queue[rows, columns]
        unit = queue if self.habits.unit >= self.habits.queue else low_bits(queue, self.habits.unit)
        rest = queue & ~unit
        corrupt = self.is_corrupt[self._sender[rows, columns]]
        if corrupt.any():
            unit, rest = np.where(corrupt, np.uint64(0), unit), np.where(corrupt, np.uint64(0), rest)
            for row, column in zip(rows[corrupt], columns[corrupt], strict=True):
                self.hash_failures[row] += 1
                self._ban(int(row), int(self._sender[row, column]))
        np.bitwise_or.at(self.have, (rows, words), unit)
        self._queue[rows, columns] = rest
        is_over = rest == 0
        self._sender[rows[is_over], columns[is_over]] = -1
        self._left[rows, columns] += np.where(is_over, 0.0, self._bytes(words, rest))
        self._count(rows[unit != 0], times_s[unit != 0])

    def _count(self, rows: Ints, times_s: Floats) -> None:
        """Count the pieces of nodes that gained some, and say which are complete."""
        is_there = np.zeros(len(self.count), np.bool_)
        is_there[rows] = True
        nodes = np.flatnonzero(is_there)
        count = popcount(self.have[nodes].ravel()).reshape(len(nodes), -1).sum(axis=1)
        is_there[nodes] = count > self.count[nodes]
        self.count[nodes] = count
        grew = is_there[rows]
        np.maximum.at(self.touched_s, rows[grew], times_s[grew])
        for node in nodes[(count == self.total) & ~self._is_complete[nodes]]:
            self.is_fetching[node] = False
            self._is_complete[node] = True
            self._sender[node] = -1
            self._on_complete(int(node), float(self.touched_s[node]))


def _firsts(keys: Ints, bound: int) -> Ints:
    """Return one place for each distinct key, all keys below `bound`."""
    places = np.arange(len(keys))
    owner = np.empty(bound, np.int64)
    owner[keys] = places
    return np.flatnonzero(owner[keys] == places)
