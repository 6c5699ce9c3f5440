"""How nodes of an ordinary swarm swap: `netsim.swap.exchange` with libtorrent's queue of requests ahead of a seed.

The first flow of a node is its seed's and sends what `netsim.swap.request_queue` says, in order, whether or not it has
come another way. From the moment that a node has as many pieces as it has not requested, its idle flows ask for what is
requested elsewhere, one piece at a time: libtorrent's end game begins when all pieces wanted are in its list of pieces
under way, and a finished piece stays in that list until it is flushed, which in boots of seconds it is not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netsim.scenario.arrays import Flags, Floats, Ints
from netsim.swap.exchange import SWAP_OVERHEAD, PeerModel, PieceExchange
from netsim.swap.piece_words import Words, popcount
from netsim.swap.request_queue import RequestQueues

_PASSES = 8
"""Pieces that a node may request of its seed in one epoch."""


class StockExchange(PieceExchange):
    """A `PieceExchange` whose nodes request ahead of one seed each, once they are told to `queue_ahead`."""

    def __init__(
        self,
        ends: int,
        torrents: tuple[tuple[int, int], ...],
        *,
        peer_model: PeerModel,
        random: np.random.Generator,
        on_complete: Callable[[int, float], None],
    ) -> None:
        super().__init__(ends, torrents, peer_model=peer_model, random=random, on_complete=on_complete)
        self._seed_queues = RequestQueues(
            ends, len(self.everything), piece_bytes=float(self._unit_bytes.mean()), random=random
        )

    def queue_ahead(self, end: int, seed: int, now_s: float) -> None:
        """Have an end request ahead of a seed from now on."""
        self._seed_queues.begin(end, seed, now_s=now_s)

    def leave(self, end: int) -> None:
        """Take an end away; what was requested of a seed that is gone can be requested elsewhere."""
        super().leave(end)
        bereft = self._seed_queues.seed_of == end
        self._seed_queues.end(bereft)
        self._reopen(bereft.nonzero()[0])

    def advance(self, now_s: float, duration_s: float, rates: Floats) -> None:
        """Move the flows on, and tell the queues what came from seeds."""
        ahead = self._indices < self._ends
        self._seed_queues.received(self._indices[ahead], rates[ahead] * duration_s, now_s=now_s + duration_s)
        super().advance(now_s, duration_s, rates)

    def _came(self, indices: Ints) -> Words:
        came = super()._came(indices)
        came[self._seed_queues.seed_of[self._flows.node_of[indices]] == self._flows.sender[indices]] = 0
        return came

    def _reopen(self, nodes: Ints) -> None:
        super()._reopen(nodes)
        self._open[:, nodes] &= ~self._seed_queues.asked[:, nodes]

    def _is_end_game(self, nodes: Ints, unasked: Words) -> Flags:
        counts = popcount(unasked.reshape(-1)).reshape(unasked.shape)
        return np.asarray(counts.sum(axis=0) <= self.count[nodes])

    def _candidates(self, indices: Ints) -> tuple[Ints, Ints, Ints]:
        indices, nodes, peers = super()._candidates(indices)
        seeds = self._seed_queues.seed_of[nodes]
        fit = ((peers != seeds) & ((indices >= self._ends) | (seeds < 0))).nonzero()[0]
        return indices[fit], nodes[fit], peers[fit]

    def _dried(self, indices: Ints, senders: Ints) -> None:
        ahead = indices[indices < self._ends]
        for node in ahead[senders[indices < self._ends] == self._seed_queues.seed_of[ahead]].tolist():
            self._next_ahead(node)

    def _renew(self, fetching: Ints) -> None:
        """Have these nodes request more pieces ahead of their seeds, one each at a time, the rarest first."""
        nodes = fetching[self._seed_queues.seed_of[fetching] >= 0]
        short = self._seed_queues.short(nodes)
        for _ in range(_PASSES):
            nodes, short = nodes[short > 0], short[short > 0] - 1
            if not len(nodes):
                break
            self._request_ahead(nodes, self._open.take(nodes, axis=1))
        idle = fetching[(self._flows.sender[fetching] < 0) & (self._seed_queues.seed_of[fetching] >= 0)]
        dry = idle[self._seed_queues.length[idle] == 0]
        if len(dry):
            self._request_ahead(dry, self._lacks.take(dry, axis=1))
        for node in idle.tolist():
            self._next_ahead(node)

    def _request_ahead(self, nodes: Ints, want: Words) -> None:
        """Request one of these pieces for each node ahead of its seed, if there is any."""
        sole = want & self._sole[:, None]
        want = np.where(np.bitwise_or.reduce(sole) != 0, sole, want)
        words, has_any = self._words(want, nodes)
        indices = has_any.nonzero()[0]
        words, nodes = words[indices], nodes[indices]
        chosen = self._some(want[words, indices], words, 1)
        self._seed_queues.request(nodes, words, chosen)
        self._open_cells[words * self._ends + nodes] &= ~chosen

    def _next_ahead(self, node: int) -> bool:
        """Have a node's flow from its seed go on with what was requested next, and return whether there is any."""
        following = self._seed_queues.take(node)
        if following is None:
            return False
        self._flows.word[node], self._flows.queue[node] = following
        self._flows.sender[node] = self._flows.last[node] = self._seed_queues.seed_of[node]
        self._flows.left[node] += self._unit_bytes[following[0]] * SWAP_OVERHEAD
        return True
