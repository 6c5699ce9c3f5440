"""swarmboot's own way: the real tracker and policies on simulated time, swapping through `netsim.swap.exchange`.

`seeder.policy.tracker` hands out neighbours and leases, one `leecher.policy.node_policy` a node decides what to ask and
fetch; the messages between them are the product's. Deviations, beside those of `netsim.swap.exchange` and
`netsim.delivery.coordinator`:

* Connections to origins are kept open, the manifest's among them: a range costs one round trip and `SERVE_S` of the
  server before its first byte.
* A connection between neighbours is up `DIAL_S` after either side was told of the other, the first ones sooner.
* Nodes go on as neighbours without a gap through hand-off.
* Without a seeder a node finds neighbours on its LAN by discovery: up to 20 at random of those that are complete.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from netsim.delivery.coordinator import HANDOUT_BYTES, Coordinator
from netsim.delivery.delivery import FetchCounts
from netsim.delivery.policy_loop import Action
from netsim.delivery.swarm_node import SwarmNode
from netsim.delivery.swarm_world import Asked, SwarmWorld
from netsim.fluid.engine import Engine
from netsim.scenario.fleet import Fleet
from netsim.scenario.scenario import Scenario
from netsim.swap.exchange import PieceExchange
from netsim.swap.torrents import Torrents
from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import Torrent
from seeder.policy.limits import Limits
from seeder.policy.tracker import Invite, Tracker
from swarmboot.ids import InfoHash
from swarmboot.release.piece_set import Pieces

DISCOVERY_S = 1.3
"""`leecher.boot.release_search`: the seeder's head start, then what it takes to gather answers."""

MAX_FOUND = 20


class Scatter:
    """Scatter every piece once over HTTPS, swap the rest."""

    def __init__(self, scenario: Scenario, fleet: Fleet, engine: Engine) -> None:
        network = scenario.network
        self.engine = engine
        self.torrents = Torrents(scenario.release)
        self.random = Random(scenario.seed)
        self.dead: set[int] = set()
        self.nodes: dict[int, SwarmNode] = {}
        self._boot_sets = self._draw_boot_sets(scenario)
        self.exchange = engine.exchange = self._open_exchange(
            fleet.nodes + engine.topology.sources,
            self.torrents.shape,
            peer_model=self.torrents.peer_model(fleet.nodes, tick_bytes=network.node_bytes_per_s * engine.tick_s),
            random=np.random.default_rng(scenario.seed + 1),
            on_complete=self._complete,
        )
        self.exchange.is_corrupt[: fleet.nodes] = fleet.is_corrupt
        limits = Limits(uplink_bytes_per_s=network.server_bytes_per_s * network.servers)
        origins = tuple(f"origin-{number}" for number in range(engine.topology.sources))
        tracker = Tracker(self._registry(), limits, origins=origins, random=Random(scenario.seed + 2))
        self.coordinator = Coordinator(tracker, at=engine.at, latency_s=network.latency_s)
        self._world = SwarmWorld(
            engine=engine,
            exchange=self.exchange,
            coordinator=self.coordinator,
            torrents=self.torrents,
            origins=origins,
            sources=dict(zip(origins, engine.topology.source_ends, strict=True)),
            racks=fleet.racks,
            latency_s=network.latency_s,
            random=self.random,
            dead=self.dead,
            boot_sets=self._boot_sets,
        )

    def _draw_boot_sets(self, scenario: Scenario) -> dict[InfoHash, Pieces]:  # noqa: ARG002 - for those who have any
        """Return the pieces of each image that come first: none."""
        return {}

    def _open_exchange(self, *given: Any, **named: Any) -> PieceExchange:
        return PieceExchange(*given, **named)

    def _open_node(self, node: int, *, now_s: float, done: Action) -> SwarmNode:
        return SwarmNode(self._world, node, now_s=now_s, done=done)

    def ask_for_stage0(self, invite: Invite, asked: Asked) -> None:
        """Have the seeder ask nodes that fetch to serve stage 0 as `invite` says, and `asked` told of it."""
        tracker = self.coordinator.tracker
        tracker.is_stage0_wanted, tracker.invite = True, invite
        self._world.stage0.asked = asked

    def _registry(self) -> Registry:
        registry = Registry()
        for image in self.torrents.images:
            boot_set = self._boot_sets.get(image.info_hash, 0)
            registry.add_torrent(Torrent(image.info_hash, image.size_bytes, image.piece_bytes, boot_set))
        return registry

    def begin(self, node: int, *, now_s: float, done: Action) -> None:
        """Have a node join the swarm; without a seeder it looks for neighbours first."""
        is_alone = self.coordinator.is_dead
        delay_s = DISCOVERY_S if is_alone else 0.0

        def join(then_s: float) -> None:
            if node in self.dead:
                return
            found = self._found() if is_alone else []
            if is_alone and not found:
                self.begin(node, now_s=then_s, done=done)
                return
            self.nodes[node] = self._open_node(node, now_s=then_s, done=done)
            self.nodes[node].begin(then_s)
            self.nodes[node].meet(found, then_s)

        self.engine.at(now_s + delay_s, join)

    def _found(self) -> list[int]:
        complete = [node for node, each in self.nodes.items() if each.is_done and node not in self.dead]
        return self.random.sample(complete, min(len(complete), MAX_FOUND))

    def _complete(self, node: int, now_s: float) -> None:
        """Have a node act on its last piece in its turn among the events of the epoch."""
        self.engine.at(now_s, self.nodes[node].complete)

    def lost(self, end: int, now_s: float) -> None:
        """Take a node or a source away; with the first server the seeder is gone."""
        self.dead.add(end)
        for transfer in self.engine.transfers_of(end):
            self.engine.stop(transfer)
        if end in self.nodes:
            self.nodes[end].die()
        if end < self.engine.topology.nodes:
            return
        for node in list(self.nodes.values()):
            node.source_lost(end, now_s)
        if end == self.engine.topology.nodes:
            self.coordinator.die(now_s)

    def bytes_from(self, node: int) -> dict[str, int]:
        """Return what came from neighbours and what from origins."""
        from_origin = self.nodes[node].from_origin_bytes if node in self.nodes else 0
        return {"neighbours": round(self.exchange.received[node]), "origin": round(from_origin)}

    def fetch_counts(self, node: int) -> FetchCounts:
        """Return a node's hash failures and rescues."""
        rescues = self.nodes[node].policy.rescues if node in self.nodes else 0
        return FetchCounts(int(self.exchange.hash_failures[node]), rescues)

    @property
    def control_bytes(self) -> float:
        """Return what the seeder has sent in handouts."""
        return float(self.coordinator.answered * HANDOUT_BYTES)
