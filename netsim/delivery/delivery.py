"""Ways to bring the images to nodes that have booted their stage 0: plain HTTPS, and multicast.

`Delivery` is what `netsim.study.simulation` asks; swarms are in `netsim.delivery.scatter` and `netsim.delivery.stock`.
Deviations: HTTPS is one connection a node with no pauses between images; multicast is one flow to the slowest of its
nodes, of which repairs and pauses take all but `MULTICAST_SHARE`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from netsim.delivery.policy_loop import Action
from netsim.fluid.engine import Engine, Transfer
from netsim.fluid.round_trips import HANDSHAKES
from netsim.scenario.fleet import Fleet
from netsim.scenario.scenario import Scenario

FIRST_WINDOW_BYTES = 10 * 1448
"""RFC 6928: what TCP sends in the first round trip; it doubles with each one after."""

MULTICAST_SHARE = 0.9


def slow_start_s(rate_bytes_per_s: float, latency_s: float) -> float:
    """Return what a new connection loses until its window fills the link: RFC 6928's window, doubled each round."""
    round_trip_s = 2 * latency_s
    needed_bytes = rate_bytes_per_s * round_trip_s
    return round_trip_s * math.log2(needed_bytes / FIRST_WINDOW_BYTES) if needed_bytes > FIRST_WINDOW_BYTES else 0.0


def connect_s(rate_bytes_per_s: float, latency_s: float) -> float:
    """Return the seconds between the wish for a new HTTPS connection and the full rate of what it brings."""
    return HANDSHAKES * 2 * latency_s + slow_start_s(rate_bytes_per_s, latency_s)


@dataclass(frozen=True, slots=True)
class FetchCounts:
    """What went wrong in a node's boot, counted as a boot report counts it."""

    hash_failures: int = 0
    rescues: int = 0


class Delivery(Protocol):
    """One way to bring the images to the nodes."""

    def begin(self, node: int, *, now_s: float, done: Action) -> None:
        """Have a node fetch its images; `done` is called with the moment it has them all."""

    def lost(self, end: int, now_s: float) -> None:
        """Take note that a node or a server is gone."""

    def bytes_from(self, node: int) -> dict[str, int]:
        """Return where a node's bytes came from, as a boot report says it."""

    def fetch_counts(self, node: int) -> FetchCounts:
        """Return a node's hash failures and rescues."""


class Https:
    """Every node takes everything from a server or mirror, one connection each, the servers in turn."""

    def __init__(self, scenario: Scenario, fleet: Fleet, engine: Engine) -> None:  # noqa: ARG002 - alike for all
        self._size_bytes = scenario.release.image_bytes
        self._latency_s = scenario.network.latency_s
        self._engine = engine
        self._sources = list(engine.topology.source_ends)
        self._turn = 0
        self._fetching: dict[int, tuple[int, Transfer, Action]] = {}
        self._waiting: set[int] = set()

    def begin(self, node: int, *, now_s: float, done: Action) -> None:
        """Start a node's download after the handshakes, if a server is left."""
        if not self._sources:
            return
        self._turn += 1
        source = self._sources[self._turn % len(self._sources)]
        delay_s = connect_s(self._engine.topology.node_rate(node), self._latency_s)
        self._waiting.add(node)
        self._engine.at(now_s + delay_s, partial(self._start, node, source, done))

    def _start(self, node: int, source: int, done: Action, now_s: float) -> None:
        if node not in self._waiting:
            return
        self._waiting.discard(node)
        if source not in self._sources:
            self.begin(node, now_s=now_s, done=done)
            return
        transfer = self._engine.start(source, node, self._size_bytes, partial(self._over, node))
        self._fetching[node] = (source, transfer, done)

    def _over(self, node: int, now_s: float) -> float:
        _, _, done = self._fetching.pop(node)
        done(now_s)
        return 0.0

    def lost(self, end: int, now_s: float) -> None:
        """End the downloads to or from an end; those of a lost server begin anew at another."""
        if end in self._sources:
            self._sources.remove(end)
        self._waiting.discard(end)
        for node, (source, transfer, done) in list(self._fetching.items()):
            if end in (node, source):
                self._engine.stop(transfer)
                del self._fetching[node]
                if end == source:
                    self.begin(node, now_s=now_s, done=done)

    def bytes_from(self, node: int) -> dict[str, int]:
        """Return everything as the origin's."""
        is_there = node not in self._fetching
        return {"neighbours": 0, "origin": self._size_bytes if is_there else 0}

    def fetch_counts(self, node: int) -> FetchCounts:  # noqa: ARG002 - the protocol's signature
        """Return none."""
        return FetchCounts()


class Multicast:
    """One sender, sessions one after another; a session waits for every living node, but not for ever."""

    def __init__(self, scenario: Scenario, fleet: Fleet, engine: Engine) -> None:
        self._size_bytes = scenario.release.image_bytes
        self._patience_s = scenario.rendezvous_s
        self._engine = engine
        self._expected = set(range(fleet.nodes))
        self._waiting: dict[int, Action] = {}
        self._is_sending = False
        self._session = 0
        self._is_dead = False
        self._transfer: Transfer | None = None

    def begin(self, node: int, *, now_s: float, done: Action) -> None:
        """Have a node wait for the next session."""
        if not self._waiting and not self._is_sending:
            self._engine.at(now_s + self._patience_s, partial(self._send, self._session))
        self._waiting[node] = done
        self._expected.discard(node)
        self._send_if_all(now_s)

    def _send_if_all(self, now_s: float) -> None:
        if not self._expected:
            self._send(self._session, now_s)

    def _send(self, session: int, _now_s: float) -> None:
        if self._is_sending or self._is_dead or not self._waiting or session != self._session:
            return
        self._is_sending = True
        self._session += 1
        group, self._waiting = self._waiting, {}
        slowest = min(group, key=self._reach)
        size_bytes = self._size_bytes / MULTICAST_SHARE
        server = self._engine.topology.nodes
        self._transfer = self._engine.start(server, slowest, size_bytes, partial(self._over, group))

    def _reach(self, node: int) -> float:
        """Return the rate at which the server alone could send to a node."""
        topology = self._engine.topology
        path = topology.paths(np.array([topology.nodes]), np.array([node]))
        return float(topology.capacity[path].min())

    def _over(self, group: dict[int, Action], now_s: float) -> float:
        self._is_sending = False
        self._transfer = None
        for done in group.values():
            done(now_s)
        if self._waiting:
            self._engine.at(now_s + self._patience_s, partial(self._send, self._session))
        self._send_if_all(now_s)
        return 0.0

    def lost(self, end: int, now_s: float) -> None:
        """Wait for a dead node no longer; without the server nothing is sent any more."""
        self._is_dead |= end == self._engine.topology.nodes
        if self._is_dead and self._transfer is not None:
            self._engine.stop(self._transfer)
        self._expected.discard(end)
        self._waiting.pop(end, None)
        self._send_if_all(now_s)

    def bytes_from(self, node: int) -> dict[str, int]:
        """Return everything as the origin's."""
        return {"neighbours": 0, "origin": 0 if node in self._waiting else self._size_bytes}

    def fetch_counts(self, node: int) -> FetchCounts:  # noqa: ARG002 - the protocol's signature
        """Return none."""
        return FetchCounts()
