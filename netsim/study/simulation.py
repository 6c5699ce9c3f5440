"""One fleet's boot under one strategy: every node from power-on to services, on simulated time.

The phases follow `swarmboot.report.PHASES`. Those with a spread in the scenario were drawn by `netsim.scenario.fleet`;
stage 0, manifest and images come out of the network; verification follows from the image's size and the hash rate.
Deviations: a phase depends on nothing but its own node and the network; no power supply, switch or DHCP server is ever
overloaded. A booted node fetches stage 0 for others from one that has it, the first from the server; in the product
they swap its pieces as they do images, at low priority.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from netsim.delivery.admission import ProductAdmission
from netsim.delivery.delivery import Delivery, FetchCounts, Https, Multicast
from netsim.delivery.lazy import LazyScatter
from netsim.delivery.scatter import Scatter
from netsim.delivery.stage0_loads import (
    MACHINE_SHARES,
    NEIGHBOUR_SHARES,
    NODE_FIRST_S,
    NODE_FIRST_SHARES,
    NODE_SHARES,
    EveryoneAtOnce,
    Stage0,
    Stage0Admission,
)
from netsim.delivery.stock import Stock
from netsim.fluid.engine import STREAM_SHARES, Engine, Sample, Transfer
from netsim.fluid.round_trips import MANIFEST_ROUNDS
from netsim.fluid.topology import Topology
from netsim.scenario.arrays import Floats
from netsim.scenario.fleet import CLIENT_START_S, Fleet, draw_fleet
from netsim.scenario.scenario import Scenario
from netsim.study.lenders import Lenders
from seeder.policy.admission import AdmissionLimits
from swarmboot.wire.announce import Neighbour
from swarmboot.wire.report import PHASES

_QUIET_S = 120.0
_TICKS, _TICKS_OF_MANY = 140, 70
_MIN_TICK_S, _MAX_TICK_S = 0.002, 0.02
_COARSE_STEPS = 3000
_MANY = 1000
_LENT_MAX = 2
"""So many booted nodes fetch stage 0 from one that has it at a time, each as fast as a load."""

Build = Callable[[Scenario, Fleet, Engine], Delivery]


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to boot a fleet: how images are delivered, whether stage 0 is, and whether our leecher starts."""

    name: str
    build: Build
    is_swarm: bool
    has_leecher: bool = False
    has_admission: bool = False
    has_neighbours: bool = False


STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy("https", Https, is_swarm=False),
        Strategy("libtorrent", Stock, is_swarm=True),
        Strategy("multicast", Multicast, is_swarm=False),
        Strategy("swarmboot", Scatter, is_swarm=True, has_leecher=True, has_admission=True),
        Strategy("swarmboot-lazy", LazyScatter, is_swarm=True, has_leecher=True, has_admission=True),
        Strategy("swarmboot+stage0", Scatter, is_swarm=True, has_leecher=True, has_admission=True, has_neighbours=True),
    )
}


@dataclass(slots=True)
class Outcome:
    """What one simulation came to.

    `ends_s` has a row a phase and a column a node, infinite where not reached; `whole_s` says when a node had all of
    its images; `sent` counts bytes by sender, nodes first, headers included.
    """

    strategy: str
    fleet: Fleet
    ends_s: Floats
    bytes_from: list[dict[str, int]]
    fetch_counts: list[FetchCounts]
    sent: Floats
    samples: list[Sample]
    wall_s: float
    whole_s: Floats
    stage0_from_neighbours: int = 0

    @property
    def up_s(self) -> Floats:
        """Return when each node's services are up."""
        return np.asarray(self.ends_s[-1])

    @property
    def server_bytes(self) -> float:
        """Return what servers and mirrors sent, headers counted."""
        return float(self.sent[self.fleet.nodes :].sum())

    @property
    def node_bytes(self) -> float:
        """Return what nodes sent to each other, headers counted."""
        return float(self.sent[: self.fleet.nodes].sum())


class Simulation:
    """One run. `admission` replaces the strategy's own stage-0 admission if given."""

    def __init__(self, scenario: Scenario, strategy: Strategy, *, admission: Stage0Admission | None = None) -> None:
        self.scenario = scenario
        self.strategy = strategy
        self.fleet = draw_fleet(scenario)
        topology = Topology(scenario.network, self.fleet.nic_bytes_per_s, self.fleet.racks, scenario.faults)
        self.engine = Engine(topology, tick_s=self._tick_s(topology))
        admission = admission or self._admission()
        self._stage0 = Stage0(
            self.engine,
            admission,
            size_bytes=scenario.release.stage0_bytes,
            machine_shares=MACHINE_SHARES if strategy.has_neighbours else STREAM_SHARES,
        )
        self._delivery = strategy.build(scenario, self.fleet, self.engine)
        if strategy.has_neighbours and scenario.admission.is_early and isinstance(admission, ProductAdmission):
            assert isinstance(self._delivery, Scatter)
            self._delivery.ask_for_stage0(admission.invite, self._asked)
        self._ends_s = np.full((len(PHASES), self.fleet.nodes), math.inf)
        self._settled: set[int] = set()
        self._moved_s = 0.0
        self._lenders = Lenders(_LENT_MAX)
        self._later: list[int] = []
        self._early: set[int] = set()
        self._has_stage0: set[int] = set()
        self._first: tuple[int, Transfer] | None = None
        self._last_ask_s = float(self.fleet.asks_at_s.max())

    def _admission(self) -> Stage0Admission:
        limits = self.scenario.admission
        if not self.strategy.has_admission:
            return EveryoneAtOnce()
        network = self.scenario.network
        return ProductAdmission(
            AdmissionLimits(
                uplink_bytes_per_s=network.server_bytes_per_s * network.servers * network.goodput,
                load_bytes=max(1, self.scenario.release.stage0_bytes),
                server_slots=limits.server_slots,
                neighbour_slots=limits.neighbour_slots,
                neighbour_bytes_per_s=network.node_bytes_per_s * network.goodput / 2,
            ),
            now_s=lambda: self.engine.now_s,
        )

    @property
    def _is_lazy(self) -> bool:
        return isinstance(self._delivery, LazyScatter)

    def _tick_s(self, topology: Topology) -> float:
        release, network = self.scenario.release, self.scenario.network
        if not self.strategy.is_swarm:
            goodput = network.server_bytes_per_s * network.servers * network.goodput
            return max(_MIN_TICK_S, self.fleet.nodes * release.total_bytes / goodput / _COARSE_STEPS)
        ticks = _TICKS if self.fleet.nodes <= _MANY else _TICKS_OF_MANY
        fastest = float(topology.capacity[: self.fleet.nodes].max())
        return min(_MAX_TICK_S, max(_MIN_TICK_S, release.image_bytes / fastest / ticks))

    def run(self) -> Outcome:
        """Let every node boot and return what came of it."""
        began_s = time.perf_counter()
        asks_s = np.zeros(self.fleet.nodes)
        for phase in ("power_on", "firmware", "dhcp", "loader"):
            asks_s = asks_s + self.fleet.phases[phase]
            self._ends_s[PHASES.index(phase)] = asks_s
        for node in range(self.fleet.nodes):
            self.engine.at(float(asks_s[node]), partial(self._load, node))
            if math.isfinite(self.fleet.dies_at_s[node]):
                self.engine.at(float(self.fleet.dies_at_s[node]), partial(self._die, node))
        if math.isfinite(self.scenario.faults.server_dies_at_s):
            self.engine.at(self.scenario.faults.server_dies_at_s, self._server_dies)
        self.engine.run(until_s=self.scenario.timeout_s, is_over=self._is_over)
        return self._outcome(time.perf_counter() - began_s)

    def _is_over(self) -> bool:
        if self.engine.samples:
            last = self.engine.samples[-1]
            self._moved_s = max(self._moved_s, last.start_s + last.duration_s)
        is_stuck = self.engine.now_s > max(self._moved_s, self._last_ask_s) + _QUIET_S
        is_arriving = isinstance(self._delivery, LazyScatter) and self._delivery.is_arriving
        return (len(self._settled) == self.fleet.nodes and not is_arriving) or is_stuck

    def _reach(self, node: int, phase: str, now_s: float) -> None:
        self._ends_s[PHASES.index(phase), node] = now_s
        self._moved_s = max(self._moved_s, now_s)

    def _load(self, node: int, now_s: float) -> None:
        if node not in self._settled:
            self._stage0.load(node, now_s=now_s, done=partial(self._loaded, node))

    def _loaded(self, node: int, now_s: float) -> None:
        """Go from stage 0 through kernel, leecher start and manifest."""
        self._reach(node, "stage0", now_s)
        phases = self.fleet.phases
        kernel_s = now_s + float(phases["kernel"][node])
        start_s = float(phases["leecher_start"][node]) if self.strategy.has_leecher else CLIENT_START_S
        rounds = MANIFEST_ROUNDS * 2 * self.scenario.network.latency_s
        manifest_s = float(phases["manifest"][node]) + rounds if self.strategy.has_leecher else 0.0
        self._reach(node, "kernel", kernel_s)
        self._reach(node, "leecher_start", kernel_s + start_s)
        self._reach(node, "manifest", kernel_s + start_s + manifest_s)
        self.engine.at(kernel_s + start_s + manifest_s, partial(self._fetch, node))

    def _fetch(self, node: int, now_s: float) -> None:
        if node not in self._settled:
            self._delivery.begin(node, now_s=now_s, done=partial(self._fetched, node))

    def _fetched(self, node: int, now_s: float) -> None:
        """Go from the last image byte through verification and hand-off to services."""
        self._reach(node, "images", now_s)
        if node in self._early:
            self._stage0.withdrawn(node)
        release = self.scenario.release
        verified_bytes = release.read_bytes if self._is_lazy else release.image_bytes
        verified_s = now_s + verified_bytes / float(self.fleet.verify_bytes_per_s[node])
        handed_s = verified_s + float(self.fleet.phases["hand_off"][node])
        up_s = handed_s + float(self.fleet.phases["services"][node])
        self._reach(node, "verification", verified_s)
        self._reach(node, "hand_off", handed_s)
        if self.strategy.has_neighbours and not self.fleet.is_corrupt[node]:
            self.engine.at(handed_s, partial(self._hand_over, node))
        self.engine.at(up_s, partial(self._up, node))

    def _asked(self, node: int, sources: tuple[Neighbour, ...]) -> None:
        """Have a node that fetches its images serve stage 0, once it has fetched what it lacks of it."""
        if node in self._early or self.fleet.is_corrupt[node] or not self.scenario.release.stage0_bytes:
            return
        self._early.add(node)
        release = self.scenario.release
        lacking = release.kernel_bytes if self.scenario.admission.is_kept else release.stage0_bytes
        source = int(sources[0].host) if sources else self.fleet.nodes
        shares = NODE_SHARES if source == self.fleet.nodes else NODE_FIRST_SHARES
        done = partial(self._has_all_of_stage0, node)
        transfer = self.engine.start(source, node, max(1, lacking), done, shares=shares)
        if source != self.fleet.nodes:
            self.engine.at(
                self.engine.now_s + NODE_FIRST_S, lambda _now_s: self.engine.weigh(transfer, NEIGHBOUR_SHARES)
            )

    def _has_all_of_stage0(self, node: int, now_s: float) -> float:
        if self.fleet.dies_at_s[node] > now_s:
            self._has_stage0.add(node)
            if not math.isfinite(self._ends_s[PHASES.index("images"), node]):
                self._stage0.booted(node)
        return 0.0

    def _hand_over(self, node: int, now_s: float) -> None:
        """End the leecher of the initramfs; the booted system's begins with what stage 0 there is."""
        self._stage0.cut(node)
        if node not in self._has_stage0:
            self._serve(node, now_s)
            return
        self.engine.at(now_s + float(self.fleet.phases["services"][node]), partial(self._serves_on, node))

    def _serves_on(self, node: int, now_s: float) -> None:
        self._serves(node, now_s)

    def _serve(self, node: int, now_s: float) -> None:
        """Have a booted node fetch stage 0 as files, as every complete node does; the server sends it once at most."""
        if not self.scenario.release.stage0_bytes or self.fleet.dies_at_s[node] <= now_s:
            return
        if not self._can_be_lent(now_s):
            self._later.append(node)
            return
        if self._lenders:
            self._lend(node, self.scenario.release.stage0_bytes)
            return
        over = partial(self._fetched_stage0, node, self.fleet.nodes)
        self._first = node, self.engine.start(self.fleet.nodes, node, self.scenario.release.stage0_bytes, over)

    def _lend(self, node: int, size_bytes: float) -> None:
        source = self._lenders.lend(node)
        self.engine.start(source, node, size_bytes, partial(self._fetched_stage0, node, source))

    def _can_be_lent(self, now_s: float) -> bool:
        """Return whether a booted node could fetch stage 0 now: from one that has it, the first from the server."""
        if self._lenders:
            return self._lenders.has_room
        return self._first is None and now_s < self.scenario.faults.server_dies_at_s

    def _fetched_stage0(self, node: int, source: int, now_s: float) -> float:
        self._lenders.ended(source)
        return self._serves(node, now_s)

    def _serves(self, node: int, now_s: float) -> float:
        if not self.fleet.dies_at_s[node] <= now_s:
            self._lenders.add(node)
            self._stage0.booted(node)
        self._go_on_from_lender(node)
        later, self._later = self._later, []
        for place, other in enumerate(later):
            if not self._can_be_lent(now_s):
                self._later += later[place:]
                break
            self._serve(other, now_s)
        return 0.0

    def _go_on_from_lender(self, node: int) -> None:
        """Have who fetches stage 0 from the server take what is left of it from `node`, which has it now."""
        if self._first is None:
            return
        first, transfer = self._first
        if first == node:
            self._first = None
        elif self._lenders.has_room:
            self._first = None
            self._lend(first, max(1.0, self.engine.stop(transfer)))

    def _up(self, node: int, now_s: float) -> None:
        if node not in self._settled:
            self._settled.add(node)
            self._reach(node, "services", now_s)

    def _die(self, node: int, now_s: float) -> None:
        self._settled.add(node)
        self._lenders.remove(node)
        self._stage0.lost(node)
        self._delivery.lost(node, now_s)

    def _server_dies(self, now_s: float) -> None:
        server = self.fleet.nodes
        self._stage0.lost(server)
        self._delivery.lost(server, now_s)

    def _outcome(self, wall_s: float) -> Outcome:
        nodes, goodput = range(self.fleet.nodes), self.scenario.network.goodput
        self._ends_s[:, [node for node in nodes if self.fleet.dies_at_s[node] <= self.engine.now_s]] = math.inf
        unsent = self.engine.exchange.unsent if self.engine.exchange else 0.0
        sent = self.engine.sent - unsent
        sent[self.fleet.nodes] += getattr(self._delivery, "control_bytes", 0.0)
        return Outcome(
            strategy=self.strategy.name,
            fleet=self.fleet,
            ends_s=self._ends_s,
            bytes_from=[self._delivery.bytes_from(node) for node in nodes],
            fetch_counts=[self._delivery.fetch_counts(node) for node in nodes],
            sent=sent / goodput,
            samples=self.engine.samples,
            wall_s=wall_s,
            whole_s=self._whole_s(),
            stage0_from_neighbours=self._stage0.from_neighbours,
        )

    def _whole_s(self) -> Floats:
        if not isinstance(self._delivery, LazyScatter):
            return np.asarray(self._ends_s[PHASES.index("images")])
        found = self._delivery.whole_s
        return np.array([found.get(node, math.inf) for node in range(self.fleet.nodes)])


def simulate(scenario: Scenario, strategy: str) -> Outcome:
    """Return what a scenario comes to under one of STRATEGIES; raise ScenarioError for an impossible scenario."""
    return Simulation(scenario.check(), STRATEGIES[strategy]).run()
