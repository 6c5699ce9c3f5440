"""swarmboot with images in use before they are whole: what a boot reads first, the rest behind it.

As `netsim.delivery.scatter`, with the pieces of a trace first on every node and at the seeder. A node goes on when it
has these (`leecher.policy.node_policy.Policy.is_ready`), and then reads: all of the trace, and what it does not name
(`release.unforeseen`), one piece after the other. A read of what is not there goes its way by
`leecher.policy.demands.Demands`, the product's own. Deviations, beside those of `netsim.swap.lazy_exchange`: every node
reads the same, at random places, a read of what is there takes no time, and nobody helps a boot set that comes to a
halt (`Demands.boot_waits`).
"""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from leecher.policy.demands import Demands, HurryRequest, OriginRequest, TellRequest
from netsim.delivery.scatter import Scatter
from netsim.delivery.swarm_node import SwarmNode
from netsim.swap.lazy_exchange import LazyExchange
from swarmboot.ids import InfoHash, PieceIndex
from swarmboot.release import piece_set

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsim.delivery.policy_loop import Action
    from netsim.delivery.swarm_world import SwarmWorld
    from netsim.fluid.engine import Engine
    from netsim.scenario.fleet import Fleet
    from netsim.scenario.scenario import Scenario
    from swarmboot.release.piece_set import Pieces

Reads = tuple[tuple[InfoHash, PieceIndex], ...]
"""What every boot reads, in order."""


class LazyNode(SwarmNode):
    """One node from its first announce on; `ready` is called when it has read what a boot reads."""

    def __init__(
        self, world: SwarmWorld, node: int, *, now_s: float, done: Action, ready: Action, exchange: LazyExchange,
        reads: Reads,
    ) -> None:  # fmt: skip
        super().__init__(world, node, now_s=now_s, done=done)
        self._ready = ready
        self._lazy = exchange
        self._left = deque(reads)
        self._demands = Demands(self.policy.wanted, random=Random(world.random.random()))
        self._is_reading = False
        self._due_s = 0.0
        for torrent, image in enumerate(world.torrents.images):
            exchange.prefer(node, torrent, world.boot_sets.get(image.info_hash, 0))

    def begin(self, now_s: float) -> None:
        """Start to ask the policy, and wait for what a boot reads first."""
        super().begin(now_s)
        self._wait_for(self._world.boot_sets)

    def awaited_came(self, now_s: float) -> None:
        """Occurs when all is there that this node waits for."""
        if self.loop.is_over:
            return
        self._told_s = -1.0  # of pieces that came at one moment some may not have been told
        self._tell(now_s)
        if self._is_reading:
            self._demands.piece_arrived(*self._left[0])
        self._is_reading |= self.policy.is_ready
        if self._is_reading:
            self._read_on(now_s)

    def _wait_for(self, wanted: Mapping[InfoHash, Pieces]) -> bool:
        return self._lazy.wait(self._node, [(self._world.torrents.index_of(h), each) for h, each in wanted.items()])

    def _read_on(self, now_s: float) -> None:
        """Read until a piece is missing, and wait for that."""
        while self._left:
            info_hash, index = self._left[0]
            have = self.policy.have[info_hash]
            self._demands.read(info_hash, index, have=have)
            if not have >> index & 1 and self._wait_for({info_hash: 1 << index}):
                self._demands.read_waits(info_hash, index, now_s=now_s)
                self._ask(now_s)
                return
            self._left.popleft()
        self._ready(now_s)

    def _ask(self, now_s: float) -> None:
        """Act on what waits."""
        for request in self._demands.requests(now_s=now_s):
            match request:
                case HurryRequest(info_hash, index):
                    self._lazy.prefer(self._node, self._world.torrents.index_of(info_hash), 1 << index)
                case TellRequest():
                    self.policy.tell_soon()
                    self.loop.hurry(now_s)
                case OriginRequest(info_hash, index):
                    self.policy.fetch_now(info_hash, index)
                    self.loop.hurry(now_s)
        wake_s = max(self._demands.next_wake_s(), now_s)
        if math.isfinite(wake_s) and not now_s < self._due_s <= wake_s:
            self._due_s = wake_s
            self._act_at(wake_s, self._ask)

    def _urgent(self) -> dict[InfoHash, Pieces]:
        urgent = self._demands.urgent()
        return {h: piece_set.of(index for each, index in urgent if each == h) for h, _ in urgent}


class LazyScatter(Scatter):
    """Scatter what a boot reads first, swap that first, and have every node go on with it."""

    def __init__(self, scenario: Scenario, fleet: Fleet, engine: Engine) -> None:
        self.whole_s: dict[int, float] = {}
        self._reads: Reads = ()
        super().__init__(scenario, fleet, engine)

    @property
    def is_arriving(self) -> bool:
        """Return whether a node that lives still lacks something."""
        return len(self.whole_s.keys() | self.dead & self.nodes.keys()) < len(self.nodes)

    def _draw_boot_sets(self, scenario: Scenario) -> dict[InfoHash, Pieces]:
        """Draw what a boot reads of every image, and what of that a trace has named."""
        random, reads, named = Random(scenario.seed + 4), list[tuple[InfoHash, PieceIndex]](), {}
        for image in self.torrents.images:
            count = max(1, round(image.count * scenario.release.read_share))
            pieces = random.sample(range(image.count), count)
            unforeseen = {*random.sample(pieces, round(count * scenario.release.unforeseen_share))}
            reads += [(image.info_hash, PieceIndex(piece)) for piece in pieces]
            named[image.info_hash] = piece_set.of(piece for piece in pieces if piece not in unforeseen)
        self._reads = tuple(reads)
        return named

    def _open_exchange(self, *given: Any, **named: Any) -> LazyExchange:
        self._lazy = LazyExchange(*given, on_awaited=self._awaited, **named)
        return self._lazy

    def _open_node(self, node: int, *, now_s: float, done: Action) -> SwarmNode:
        return LazyNode(
            self._world, node, now_s=now_s, done=partial(self._is_whole, node), ready=done, exchange=self._lazy,
            reads=self._reads,
        )  # fmt: skip

    def _is_whole(self, node: int, now_s: float) -> None:
        self.whole_s[node] = now_s

    def _awaited(self, node: int, now_s: float) -> None:
        """Have a node act on it in its turn among the events of the epoch."""
        each = self.nodes[node]
        assert isinstance(each, LazyNode)
        self.engine.at(now_s, each.awaited_came)
