"""A scenario's nodes, drawn: each one's rack, NIC, phases, and what befalls it. The same seed draws the same fleet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netsim.scenario.arrays import Flags, Floats, Ints
from netsim.scenario.scenario import TIMED_PHASES, Hardware, Scenario

CLIENT_START_S = 0.03
"""What a small downloader such as curl takes to start; our own leecher's start is a phase of the scenario."""

_UNSCALED = frozenset({"power_on", "dhcp", "manifest"})
"""Phases that do not take longer on slow hardware."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The nodes as arrays, one entry a node. Seconds, bytes per second; infinite where nothing befalls a node."""

    racks: Ints
    nic_bytes_per_s: Floats
    verify_bytes_per_s: Floats
    phases: Mapping[str, Floats]
    dies_at_s: Floats
    is_corrupt: Flags

    @property
    def nodes(self) -> int:
        """Return how many there are."""
        return len(self.racks)

    @property
    def asks_at_s(self) -> Floats:
        """Return when each node is ready to load stage 0."""
        return np.asarray(np.sum([self.phases[name] for name in ("power_on", "firmware", "dhcp", "loader")], axis=0))


def draw_fleet(scenario: Scenario) -> Fleet:
    """Return the nodes of a scenario; nodes fill the racks in order."""
    random = np.random.default_rng(scenario.seed)
    nodes = scenario.nodes
    kinds = _kinds(scenario, random)
    slowness = np.array([kind.slowness for kind in kinds])
    phases = {}
    for name in TIMED_PHASES:
        drawn = scenario.phases[name].draw(random, nodes)
        phases[name] = drawn if name in _UNSCALED else drawn * slowness
    network, faults = scenario.network, scenario.faults
    powered_s = phases["power_on"]
    doomed = random.random(nodes) < faults.dead_share
    dies_at_s = np.where(doomed, powered_s + random.uniform(0, faults.dead_within_s, nodes), math.inf)
    for node, at_s in faults.killed.items():
        dies_at_s[node] = at_s
    return Fleet(
        racks=np.arange(nodes) * network.racks // nodes,
        nic_bytes_per_s=np.array([kind.nic_bytes_per_s or network.node_bytes_per_s for kind in kinds]),
        verify_bytes_per_s=np.array([kind.verify_bytes_per_s or scenario.verify_bytes_per_s for kind in kinds]),
        phases=phases,
        dies_at_s=dies_at_s,
        is_corrupt=random.random(nodes) < faults.corrupt_share,
    )


def _kinds(scenario: Scenario, random: np.random.Generator) -> list[Hardware]:
    """Return each node's hardware; kinds are mixed over the racks."""
    plain = Hardware("plain", 1.0)
    kinds: list[Hardware] = []
    for kind in scenario.hardware:
        kinds += [kind] * round(kind.share * scenario.nodes)
    kinds = (kinds + [plain] * scenario.nodes)[: scenario.nodes]
    return [kinds[index] for index in random.permutation(scenario.nodes)] if scenario.hardware else kinds
