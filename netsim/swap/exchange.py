"""Nodes that swap pieces: what libtorrent does in each of them, as one fluid over arrays.

Sets of pieces are columns of 64-bit words (`netsim.swap.piece_words`), one column an end; a node keeps up to `flows`
flows, each from one neighbour, each with a short queue of requested pieces out of one word. Deviations from libtorrent:

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
import numpy.typing as npt

from netsim.scenario.arrays import Flags, Floats, Ints
from netsim.swap.flows import Flows
from netsim.swap.neighbours import Neighbours
from netsim.swap.piece_words import WORD, Words, full_words, low_bits, popcount, to_pieces

SWAP_OVERHEAD = 1.01
"""Message headers, haves and the acknowledgements of what flows the other way."""

_DRY_SHARE = 0.35
_PRIORITY_ROWS = 61
_SAMPLE = 64
_RARE_EVERY = 4
_RARE_SHARE = 0.3
_PASSES = 6


@dataclass(frozen=True, slots=True)
class PeerModel:
    """How a node swaps: flows at a time, pieces requested ahead of each, and pieces that count at a time.

    `again` is how many pieces it requests of a neighbour for a second time.
    """

    flows: int = 16
    queue: int = 4
    unit: int = 1
    again: int = WORD


class PieceExchange:
    """The pieces of every node and the flows between them. Ends are nodes, then sources, as in `Topology`."""

    def __init__(
        self,
        ends: int,
        torrents: tuple[tuple[int, int], ...],
        *,
        peer_model: PeerModel,
        random: np.random.Generator,
        on_complete: Callable[[int, float], None],
    ) -> None:
        """Take the torrents as (pieces, piece bytes); each begins at a word of its own."""
        self.peer_model = peer_model
        self._random = random
        self._on_complete = on_complete
        words = [full_words(pieces) for pieces, _ in torrents]
        self.starts = np.cumsum([0, *(len(each) for each in words)])
        self.everything: Words = np.concatenate(words)
        self.total = sum(pieces for pieces, _ in torrents)
        self._unit_bytes = np.repeat([float(size) for _, size in torrents], [len(each) for each in words])
        self._ends = ends
        self.have: Words = np.zeros((len(self.everything), ends), np.uint64)
        self._lacks: Words = np.repeat(self.everything[:, None], ends, axis=1)
        self._open: Words = self._lacks.copy()
        self._have_cells, self._lacks_cells = self.have.reshape(-1), self._lacks.reshape(-1)
        self._open_cells = self._open.reshape(-1)
        self._owner: Ints = np.zeros(self.have.size, np.int64)
        self.count: Ints = np.zeros(ends, np.int64)
        self.received: Floats = np.zeros(ends)
        self.unsent: Floats = np.zeros(ends)
        self.touched_s: Floats = np.zeros(ends)
        self.hash_failures: Ints = np.zeros(ends, np.int64)
        self.is_corrupt = np.zeros(ends, np.bool_)
        self.is_up = np.zeros(ends, np.bool_)
        self.is_fetching = np.zeros(ends, np.bool_)
        self._flows = Flows(ends, peer_model.flows)
        self.neighbours = Neighbours(ends)
        self._indices: Ints = np.zeros(0, np.int64)
        self._is_complete = np.zeros(ends, np.bool_)
        self._rare = self._sole = self.everything
        self._priority = self._draw_priority()
        self._epochs = 0

    def begin(self, end: int) -> None:
        """Have an end serve what it has, and fetch what it lacks."""
        self.is_up[end] = True
        self.is_fetching[end] = not self._is_complete[end]

    def leave(self, end: int) -> None:
        """Take an end away: it serves and fetches no more."""
        self.is_up[end] = self.is_fetching[end] = False
        self._flows.senders[:, end] = -1

    def insert(self, end: int, torrent: int, piece: int, now_s: float) -> None:
        """Count a piece that came from elsewhere than a neighbour."""
        word, bit = int(self.starts[torrent]) + piece // WORD, np.uint64(1 << (piece % WORD))
        if not self._lacks[word, end] & bit:
            return
        self.have[word, end] |= bit
        self._lacks[word, end] &= ~bit
        self._open[word, end] &= ~bit
        self.count[end] += 1
        self.touched_s[end] = max(self.touched_s[end], now_s)
        self._complete(end)

    def pieces_of(self, end: int, torrent: int) -> int:
        """Return what an end has of a torrent, as `swarmboot.release.piece_set` writes it."""
        return to_pieces(self.have[self.starts[torrent] : self.starts[torrent + 1], end])

    def fill(self, end: int) -> None:
        """Give an end everything."""
        self.have[:, end] = self.everything
        self._lacks[:, end] = self._open[:, end] = 0
        self.count[end] = self.total
        self._is_complete[end] = True

    @property
    def is_busy(self) -> bool:
        """Return whether any node still wants pieces."""
        return bool(self.is_fetching.any())

    def open_flows(self, now_s: float) -> tuple[Ints, Ints]:  # noqa: ARG002 - the engine's signature
        """Start what can start and return senders and receivers of all flows."""
        fetching = (self.is_fetching & (self.neighbours.degree > 0)).nonzero()[0]
        moved, self._indices = self._indices, np.zeros(0, np.int64)
        if not len(fetching):
            self._forget_overshoot(moved)
            return self._indices, self._indices
        indices = self._flows.of(fetching)
        self._cancel(indices[self._flows.sender[indices] >= 0])
        self._epochs += 1
        if self._epochs % _RARE_EVERY == 1:
            self._rare = self._rarest()
            self._priority = self._draw_priority()
        self._renew(fetching)
        for _ in range(min(_PASSES, -(-self.peer_model.flows // len(self.have)))):
            self._ask(indices[self._flows.sender[indices] < 0])
        senders = self._flows.sender[indices]
        is_open = (senders >= 0).nonzero()[0]
        self._indices = indices[is_open]
        self._forget_overshoot(moved)
        return senders[is_open], self._flows.node_of[self._indices]

    def _forget_overshoot(self, indices: Ints) -> None:
        """Uncount what those flows that ran dry would have moved on to the epoch's end, unless they go on at once."""
        dry = indices[(self._flows.left[indices] < 0) & (self._flows.sender[indices] < 0)]
        if len(dry):
            self._uncount(dry, -self._flows.left[dry])
            self._flows.left[dry] = 0.0

    def _uncount(self, indices: Ints, over: Floats) -> None:
        """Take back bytes that these flows' last senders were counted to send and had nothing to."""
        np.subtract.at(self.received, self._flows.node_of[indices], over / SWAP_OVERHEAD)
        np.add.at(self.unsent, self._flows.last[indices], over)

    def _cancel(self, indices: Ints) -> None:
        """Drop requests for pieces that have come another way, and flows whose sender is gone."""
        queue = self._flows.queue[indices] & ~self._came(indices)
        self._flows.queue[indices] = queue
        over = indices[(queue == 0) | ~self.is_up[self._flows.sender[indices]]]
        if len(over):
            self._flows.sender[over] = -1
            self._flows.left[over] = 0.0
            self._reopen(np.unique(self._flows.node_of[over]))

    def _came(self, indices: Ints) -> Words:
        """Return which pieces need not be sent any more, of the word that each of these flows is at."""
        return np.asarray(~self._lacks_cells[self._flows.word[indices] * self._ends + self._flows.node_of[indices]])

    def _renew(self, fetching: Ints) -> None:
        """Occurs before the idle flows of these nodes ask; for a program that requests further ahead."""

    def _reopen(self, nodes: Ints) -> None:
        """Compute anew what these nodes lack and have not requested."""
        indices = self._flows.of(nodes)
        indices = indices[self._flows.sender[indices] >= 0]
        self._open[:, nodes] = self._lacks[:, nodes]
        cells = self._flows.word[indices] * self._ends + self._flows.node_of[indices]
        np.bitwise_and.at(self._open_cells, cells, ~self._flows.queue[indices])

    def _rarest(self) -> Words:
        """Return the pieces that few of a sample of nodes have."""
        up = self.is_up.nonzero()[0]
        sample = up if len(up) <= _SAMPLE else self._random.choice(up, _SAMPLE, replace=False)
        rows = np.ascontiguousarray(self.have[:, sample].T)
        bits = np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little").sum(axis=0)
        present = bits[bits > 0]
        self._sole = np.packbits(bits == present.min(initial=len(bits)), bitorder="little").view(np.uint64)
        index = int(_RARE_SHARE * (len(present) - 1)) if len(present) else 0
        threshold = np.partition(present, index)[index] if len(present) else 0
        return np.packbits(bits <= threshold, bitorder="little").view(np.uint64)

    def _some(self, found: Words, words: Ints, most: int) -> Words:
        """Return up to `most` bits of each of these words, the rare ones if there are any."""
        rare = found & self._rare[words]
        return low_bits(np.where(rare != 0, rare, found), most, self._random)

    def _ask(self, indices: Ints) -> None:
        """Give each of these idle flows something to do, if the neighbour tried has something for its node.

        Of two flows of a node that would ask for the same word, one waits for the next epoch.
        """
        indices, nodes, peers = self._candidates(indices)
        want, is_again = self._wanted(nodes, peers)
        words, has_any = self._words(want, nodes + 5 * self._flows.column_of[indices])
        useful = has_any.nonzero()[0]
        cells = words[useful] * self._ends + nodes[useful]
        first = _firsts(cells, self._owner)
        cells, useful = cells[first], useful[first]
        indices, words = indices[useful], words[useful]
        chosen = self._some(want[words, useful], words, self.peer_model.queue)
        if self.peer_model.again < self.peer_model.queue:
            again = is_again[useful].nonzero()[0]
            chosen[again] = low_bits(chosen[again], self.peer_model.again)
        left = self._flows.left[indices] + self._bytes(words, chosen)
        if (left < 0).any():
            self._uncount(indices, np.maximum(-left, 0.0))
        self._flows.left[indices] = np.maximum(left, 0.0)
        self._flows.sender[indices] = self._flows.last[indices] = peers[useful]
        self._flows.word[indices] = words
        self._flows.queue[indices] = chosen
        self._open_cells[cells] &= ~chosen

    def _wanted(self, nodes: Ints, peers: Ints) -> tuple[Words, Flags]:
        """Return what each node may ask its peer for, and whether it is asked for a second time.

        That is what it has not requested; in its end game, and with nothing else to ask, what it lacks.
        """
        theirs = self.have.take(peers, axis=1)
        unasked = self._open.take(nodes, axis=1)
        want = unasked & theirs
        is_again = self._is_end_game(nodes, unasked) & (np.bitwise_or.reduce(want) == 0)
        again = is_again.nonzero()[0]
        if len(again):
            want[:, again] = theirs[:, again] & self._lacks[:, nodes[again]]
        return want, is_again

    def _is_end_game(self, nodes: Ints, unasked: Words) -> Flags:  # noqa: ARG002 - a program may look at its nodes
        """Return which nodes ask a second time for what they have requested; `unasked` is what they have not."""
        return np.asarray(np.bitwise_or.reduce(unasked) == 0)

    def _words(self, want: Words, turn: Ints) -> tuple[Ints, Flags]:
        """Return a word of each column, at random among those with rare pieces if any, and whether there is one."""
        priority = self._priority.take((turn + self._epochs) % _PRIORITY_ROWS, axis=1)
        best = np.maximum.reduce(priority * ((want & self._rare[:, None]) != 0))
        common = (best == 0).nonzero()[0]
        if len(common):
            best[common] = np.maximum.reduce(priority[:, common] * (want[:, common] != 0))
        return (best & np.uint32(0xFFFF)).astype(np.int64), best != 0

    def _draw_priority(self) -> npt.NDArray[np.uint32]:
        """Return orders of the words: in each column a random number a word, the word's index its low half."""
        width = len(self.have)
        drawn = self._random.integers(1, 1 << 16, (width, _PRIORITY_ROWS), np.uint32) << np.uint32(16)
        return np.asarray(drawn | np.arange(width, dtype=np.uint32)[:, None])

    def _candidates(self, indices: Ints) -> tuple[Ints, Ints, Ints]:
        """Return flows, their nodes, and the neighbour each tries: the column's own one, or any if there are many."""
        nodes = self._flows.node_of[indices]
        columns, degree = self._flows.column_of[indices], self.neighbours.degree[nodes]
        is_many = degree > self.peer_model.flows
        drawn = (self._random.random(len(nodes)) * degree).astype(np.int64)
        peers = self.neighbours.of[nodes, np.where(is_many, drawn, np.minimum(columns, degree - 1))]
        is_fit = self.is_up[peers] & (is_many | (columns < degree)) & (self.count[peers] > 0)
        is_fit &= ~np.logical_or.reduce(self._flows.senders.take(nodes, axis=1) == peers)
        fit = is_fit.nonzero()[0]
        return indices[fit], nodes[fit], peers[fit]

    def _bytes(self, words: Ints, queue: Words) -> Floats:
        """Return the bytes of the next unit of a queue of requests."""
        size = self._unit_bytes[words] * SWAP_OVERHEAD
        return size if self.peer_model.unit == 1 else size * np.minimum(popcount(queue), self.peer_model.unit)

    def horizon_s(self, rates: Floats) -> float:
        """Return how long an epoch may last before a third of the flows have run dry."""
        if not len(rates):
            return math.inf
        with np.errstate(divide="ignore"):
            dry_s = self._flows.left[self._indices] / rates
        return float(np.partition(dry_s, index := int(len(dry_s) * _DRY_SHARE))[index])

    def advance(self, now_s: float, duration_s: float, rates: Floats) -> None:
        """Move the flows on and count the pieces that came in, each flow's at the moment it was through."""
        if not len(rates):
            return
        indices = self._indices
        rows = self._flows.node_of[indices]
        self.received += np.bincount(rows, weights=rates * (duration_s / SWAP_OVERHEAD), minlength=len(self.received))
        left = self._flows.left[indices] - rates * duration_s
        self._flows.left[indices] = left
        done = left <= 0
        indices, rates = indices[done], rates[done]
        while len(indices):
            over_s = -self._flows.left[indices] / rates
            self._deliver(indices, now_s + duration_s - over_s)
            goes_on = (self._flows.sender[indices] >= 0) & (self._flows.left[indices] <= 0)
            indices, rates = indices[goes_on], rates[goes_on]

    def _deliver(self, indices: Ints, times_s: Floats) -> None:
        """Count the next unit of each of these flows."""
        flows = self._flows
        rows, words, queue, senders = (
            flows.node_of[indices], flows.word[indices], flows.queue[indices], flows.sender[indices],
        )  # fmt: skip
        unit = queue if self.peer_model.unit >= self.peer_model.queue else low_bits(queue, self.peer_model.unit)
        rest = queue & ~unit
        corrupt = self.is_corrupt[senders]
        if corrupt.any():
            unit, rest = np.where(corrupt, np.uint64(0), unit), np.where(corrupt, np.uint64(0), rest)
            for row, sender in zip(rows[corrupt], senders[corrupt], strict=True):
                self.hash_failures[row] += 1
                self.neighbours.ban(int(row), int(sender))
        self._flows.queue[indices] = rest
        is_over = rest == 0
        self._flows.sender[indices[is_over]] = -1
        self._dried(indices[is_over], senders[is_over])
        if not is_over.all():
            self._flows.left[indices] += np.where(is_over, 0.0, self._bytes(words, rest))
        if corrupt.any():
            self._reopen(np.unique(rows[corrupt]))
        self._gain(words * self._ends + rows, unit, times_s)

    def _dried(self, indices: Ints, senders: Ints) -> None:
        """Occurs when these flows have brought all that they were asked for; `senders` were theirs."""

    def _gain(self, cells: Ints, bits: Words, times_s: Floats) -> None:
        """Count the pieces that came into these cells, and say which nodes are complete."""
        grew = (bits & self._lacks_cells[cells]).nonzero()[0]
        cells, bits = cells[grew], bits[grew]
        changed = cells[_firsts(cells, self._owner)]
        before = self._lacks_cells[changed]
        np.bitwise_and.at(self._lacks_cells, cells, ~bits)
        after = self._lacks_cells[changed]
        self._have_cells[changed] |= before & ~after
        self._open_cells[changed] &= after
        nodes = changed - changed // self._ends * self._ends
        np.add.at(self.count, nodes, popcount(before & ~after))
        np.maximum.at(self.touched_s, cells - cells // self._ends * self._ends, times_s[grew])
        for node in sorted(set(nodes[self.count[nodes] == self.total].tolist())):
            self._complete(node)

    def _complete(self, node: int) -> None:
        """Say that a node has everything, if it has and it was not said."""
        if self.count[node] == self.total and not self._is_complete[node]:
            self.is_fetching[node] = False
            self._is_complete[node] = True
            self._flows.senders[:, node] = -1
            self._on_complete(node, float(self.touched_s[node]))


def _firsts(keys: Ints, owner: Ints) -> Ints:
    """Return one index for each distinct key; `owner` is scratch with an entry for every key there can be."""
    indices = np.arange(len(keys))
    owner[keys] = indices
    firsts: Ints = (owner[keys] == indices).nonzero()[0]
    return firsts
