"""An ordinary BitTorrent swarm, libtorrent as it comes: a tracker, the servers as seeds, every node a peer.

Deviations, beside those of `netsim.swap.exchange`, `netsim.swap.stock_exchange` and `netsim.swap.request_queue`: the
tracker names up to `WANTED` random peers and the seeds, once, and connections are up `TRACKER_S` later; of one another
nodes request up to a word of pieces (64), all at once; with several seeds a node requests ahead of one, the others are
to it as nodes are.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from netsim.delivery.delivery import FetchCounts, connect_s
from netsim.delivery.policy_loop import Action
from netsim.fluid.engine import Engine
from netsim.scenario.fleet import Fleet
from netsim.scenario.scenario import Scenario
from netsim.swap.exchange import PeerModel
from netsim.swap.piece_words import WORD
from netsim.swap.request_queue import BLOCK_BYTES, MAX_BLOCKS
from netsim.swap.stock_exchange import StockExchange
from netsim.swap.torrents import Torrents

TRACKER_S = 0.02
WANTED = 50
_SMALLEST_PIECE_BYTES, _LARGEST_PIECE_BYTES = 1 << 14, 1 << 24
_SMALLEST_PIECES_UP_TO_BYTES = 2_684_355


def stock_piece_bytes(size_bytes: int) -> int:
    """Return the piece length that libtorrent's `create_torrent` gives: twice as long for four times the size."""
    piece_bytes, up_to_bytes = _SMALLEST_PIECE_BYTES, _SMALLEST_PIECES_UP_TO_BYTES
    while size_bytes > up_to_bytes and piece_bytes < _LARGEST_PIECE_BYTES:
        piece_bytes, up_to_bytes = 2 * piece_bytes, 4 * up_to_bytes
    return piece_bytes


class Stock:
    """What a program gets that uses libtorrent and sets nothing."""

    def __init__(self, scenario: Scenario, fleet: Fleet, engine: Engine) -> None:
        torrents = Torrents(scenario.release, piece_bytes_of=stock_piece_bytes)
        self._engine = engine
        self._latency_s = scenario.network.latency_s
        self._random = np.random.default_rng(scenario.seed + 3)
        queue = max(1, min(WORD, MAX_BLOCKS * BLOCK_BYTES // torrents.images[0].piece_bytes))
        flows = 20 if fleet.nodes <= 40 else 8 if fleet.nodes <= 1000 else 6
        unit = 1 if fleet.nodes <= 40 else 4 if fleet.nodes <= 1000 else 8
        self._exchange = engine.exchange = StockExchange(
            fleet.nodes + engine.topology.sources,
            torrents.shape,
            peer_model=PeerModel(flows=flows, queue=queue, unit=unit, again=unit),
            random=np.random.default_rng(scenario.seed + 1),
            on_complete=self._complete,
        )
        self._exchange.is_corrupt[: fleet.nodes] = fleet.is_corrupt
        self._seeds = list(engine.topology.source_ends)
        for seed in self._seeds:
            self._exchange.fill(seed)
            self._exchange.is_up[seed] = True
        self._peers: list[int] = []
        self._done: dict[int, Action] = {}

    def begin(self, node: int, *, now_s: float, done: Action) -> None:
        """Have a node ask the tracker and connect to whom it names."""
        self._done[node] = done
        delay_s = connect_s(self._engine.topology.node_rate(node), self._latency_s) + TRACKER_S
        self._engine.at(now_s + delay_s, partial(self._join, node))

    def _join(self, node: int, now_s: float) -> None:
        if node not in self._done:
            return
        self._exchange.begin(node)
        count = min(WANTED, len(self._peers))
        chosen = self._random.permutation(len(self._peers))[:count]
        for peer in [*self._seeds, *(self._peers[index] for index in chosen)]:
            self._exchange.neighbours.connect(node, peer)
        self._peers.append(node)
        if self._seeds:
            self._exchange.queue_ahead(node, self._seeds[node % len(self._seeds)], now_s)

    def _complete(self, node: int, now_s: float) -> None:
        self._engine.at(now_s, self._done.pop(node))

    def lost(self, end: int, now_s: float) -> None:  # noqa: ARG002 - the protocol's signature
        """Take a node or a seed away."""
        self._exchange.leave(end)
        self._done.pop(end, None)
        if end in self._seeds:
            self._seeds.remove(end)
        if end in self._peers:
            self._peers.remove(end)

    def bytes_from(self, node: int) -> dict[str, int]:
        """Return everything as the swarm's: a BitTorrent peer does not tell the seed from the others."""
        return {"neighbours": round(self._exchange.received[node]), "origin": 0}

    def fetch_counts(self, node: int) -> FetchCounts:
        """Return a node's hash failures and no rescues."""
        return FetchCounts(hash_failures=int(self._exchange.hash_failures[node]))
