"""Simulated time: events in order, and between them flows that share the links.

Time moves in epochs. At the start of an epoch the rates of all flows are settled by `netsim.fluid.max_min`; in it they
stay as they are; what comes to an end within it ends at its own exact moment, and events run in the order of their
moments. Deviation: a flow that starts within an epoch begins to move at the epoch's end, so an epoch lasts until the
next event or completion, but never less than `tick_s` or 0.02 % of the time so far (0.1 % while no pieces are wanted or
more than 200 transfers are under way). Bytes and seconds. It knows nothing of boots, pieces or policies.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

import numpy as np

from netsim.fluid.max_min import max_min_rates
from netsim.fluid.topology import Topology
from netsim.scenario.arrays import Floats, Ints

ROUNDS = 8
_FINE, _COARSE = 0.0002, 0.001
_CROWD = 200
STREAM_SHARES = 4
"""Of a link that both cross, what a stream takes for each share of a flow of the exchange. A stream keeps as much on
its way as TCP lets it; such a flow waits for requests of a piece at a time, and starts slowly after each wait (RFC
5681, section 4.1). Fitted, as docs/calibration.md says."""

HEADROOM = 0.95
"""What a server sends of its rate while what is awaited goes out beside what nobody waits for (`seeder.http.pacer`)."""

Action = Callable[[float], None]
OnUnit = Callable[[float], float]
"""Called with the moment when a transfer's unit is through; returns the bytes of the next unit, or 0 to end."""


class Exchange(Protocol):
    """Flows that many nodes keep among themselves: `netsim.swap.exchange`."""

    unsent: Floats
    """What each end was counted to send and did not, in bytes."""

    @property
    def is_busy(self) -> bool:
        """Return whether any node still wants pieces."""

    def open_flows(self, now_s: float) -> tuple[Ints, Ints]:
        """Start what can start and return senders and receivers of all flows."""

    def horizon_s(self, rates: Floats) -> float:
        """Return how long an epoch may last before too many of the flows have run dry."""

    def advance(self, now_s: float, duration_s: float, rates: Floats) -> None:
        """Move the flows on at these rates."""


@dataclass(slots=True, eq=False)
class Transfer:
    """One flow from a sender to a receiver, in units; `on_unit` says what follows each."""

    sender: int
    receiver: int
    on_unit: OnUnit
    shares: int = STREAM_SHARES
    index: int = -1
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What moved in one epoch: bytes that servers and mirrors sent, and bytes that nodes sent."""

    start_s: float
    duration_s: float
    source_bytes: float
    node_bytes: float


@dataclass(slots=True)
class _Table:
    """The transfers, dense: index i of every array belongs to transfer i."""

    transfers: list[Transfer] = field(default_factory=list)
    senders: Ints = field(default_factory=lambda: np.zeros(64, np.int64))
    receivers: Ints = field(default_factory=lambda: np.zeros(64, np.int64))
    left: Floats = field(default_factory=lambda: np.zeros(64))
    shares: Floats = field(default_factory=lambda: np.zeros(64))

    def add(self, transfer: Transfer, size_bytes: float) -> None:
        index = transfer.index = len(self.transfers)
        if index == len(self.left):
            self.senders, self.receivers = np.tile(self.senders, 2), np.tile(self.receivers, 2)
            self.left, self.shares = np.tile(self.left, 2), np.tile(self.shares, 2)
        self.transfers.append(transfer)
        self.senders[index], self.receivers[index] = transfer.sender, transfer.receiver
        self.left[index], self.shares[index] = size_bytes, transfer.shares

    def remove(self, transfer: Transfer) -> float:
        """Take a transfer out and return the bytes that it had left."""
        index, transfer.index = transfer.index, -1
        left = float(self.left[index])
        last = self.transfers.pop()
        if last is not transfer:
            tail = len(self.transfers)
            for column in (self.senders, self.receivers, self.left, self.shares):
                column[index] = column[tail]
            self.transfers[index] = last
            last.index = index
        return left


class Engine:
    """One simulation's clock, events and transfers. `sent` counts payload bytes by sender."""

    def __init__(self, topology: Topology, *, tick_s: float, exchange: Exchange | None = None) -> None:
        self.topology = topology
        self.exchange = exchange
        self.tick_s = tick_s
        self.now_s = 0.0
        self.sent = np.zeros(topology.nodes + topology.sources)
        self.samples: list[Sample] = []
        self._events: list[tuple[float, int, Action]] = []
        self._serial = count()
        self._table = _Table()

    def at(self, time_s: float, action: Action) -> None:
        """Run `action` at a moment, or now if it has passed."""
        heapq.heappush(self._events, (max(time_s, self.now_s), next(self._serial), action))

    def start(
        self, sender: int, receiver: int, size_bytes: float, on_unit: OnUnit, *, shares: int = STREAM_SHARES
    ) -> Transfer:
        """Begin a transfer whose first unit is `size_bytes`, more than 0."""
        transfer = Transfer(sender, receiver, on_unit, shares)
        self._table.add(transfer, size_bytes)
        return transfer

    def weigh(self, transfer: Transfer, shares: int) -> None:
        """Give a transfer other shares of its links from now on; one that has ended stays so."""
        if transfer.index >= 0:
            self._table.shares[transfer.index] = transfer.shares = shares

    def stop(self, transfer: Transfer) -> float:
        """End a transfer early and return the bytes that it had left, 0 of one that has ended."""
        return self._table.remove(transfer) if transfer.index >= 0 else 0.0

    def transfers_of(self, end: int) -> list[Transfer]:
        """Return the transfers that an endpoint sends or receives."""
        return [each for each in self._table.transfers if end in (each.sender, each.receiver)]

    def run(self, *, until_s: float, is_over: Callable[[], bool]) -> None:
        """Let time pass until `is_over`, `until_s`, or nothing is left to happen."""
        while not is_over() and self.now_s < until_s:
            self._run_events(self.now_s)
            if not self._epoch(until_s):
                break

    def _run_events(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            time_s, _, action = heapq.heappop(self._events)
            action(time_s)

    def _epoch(self, until_s: float) -> bool:
        """Move everything on by one epoch; return False when nothing is left to happen."""
        table, size = self._table, len(self._table.transfers)
        senders, receivers = table.senders[:size], table.receivers[:size]
        if self.exchange is not None:
            more_senders, more_receivers = self.exchange.open_flows(self.now_s)
            senders, receivers = np.concatenate([senders, more_senders]), np.concatenate([receivers, more_receivers])
        next_s = self._events[0][0] if self._events else math.inf
        if not len(senders):
            self.now_s = min(next_s, until_s)
            return math.isfinite(next_s)
        paths, capacity = self.topology.paths(senders, receivers), self._capacity(senders[:size])
        rates = max_min_rates(paths, capacity, weights=self._shares(size, len(senders)), rounds=ROUNDS)
        duration_s = max(self._duration_s(rates, size, next_s), self._least_s())
        self._count(senders, rates * duration_s, duration_s)
        start_s, self.now_s = self.now_s, self.now_s + duration_s
        self._advance(start_s, duration_s, rates[:size])
        if self.exchange is not None:
            self.exchange.advance(start_s, duration_s, rates[size:])
        return True

    def _shares(self, transfers: int, flows: int) -> Floats | None:
        """Return the shares of so many transfers, and of the exchange's flows after them; None if all are alike."""
        if not transfers or self.exchange is None:
            return None
        shares = np.ones(flows)
        shares[:transfers] = self._table.shares[:transfers]
        return shares

    def _capacity(self, senders: Ints) -> Floats:
        """Return what the links carry now, a server's with its headroom."""
        capacity = self.topology.capacity
        is_awaited = self._table.shares[: len(senders)] > STREAM_SHARES
        servers = list(self.topology.source_ends)[: self.topology.servers]
        mixed = [end for end in servers if len(set(is_awaited[senders == end].tolist())) == 2]
        if not mixed:
            return capacity
        capacity = capacity.copy()
        capacity[mixed] *= HEADROOM
        return capacity

    def _duration_s(self, rates: Floats, size: int, next_s: float) -> float:
        with np.errstate(divide="ignore"):
            ends_s = self._table.left[:size] / rates[:size]
        duration_s = min(next_s - self.now_s, float(ends_s.min(initial=math.inf)))
        if self.exchange is not None:
            duration_s = min(duration_s, self.exchange.horizon_s(rates[size:]))
        return duration_s

    def _least_s(self) -> float:
        """Return the shortest epoch: a tick, or a part of the time so far, more in a crowd or without pieces."""
        is_crowd = len(self._table.transfers) > _CROWD
        is_busy = not is_crowd and self.exchange is not None and self.exchange.is_busy
        return max(self.tick_s, (_FINE if is_busy else _COARSE) * self.now_s)

    def _count(self, senders: Ints, moved: Floats, duration_s: float) -> None:
        self.sent += np.bincount(senders, weights=moved, minlength=len(self.sent))
        by_nodes = float(moved[senders < self.topology.nodes].sum())
        self.samples.append(Sample(self.now_s, duration_s, float(moved.sum()) - by_nodes, by_nodes))

    def _advance(self, start_s: float, duration_s: float, rates: Floats) -> None:
        table, size = self._table, len(rates)
        left = table.left[:size]
        with np.errstate(divide="ignore"):
            ends_s = start_s + left / rates
        left -= rates * duration_s
        for index in (left <= 1e-6).nonzero()[0]:
            transfer = table.transfers[index]
            transfer.rate = float(rates[index])
            self._push_unit(float(min(ends_s[index], self.now_s)), transfer)

    def _push_unit(self, time_s: float, transfer: Transfer) -> None:
        heapq.heappush(self._events, (time_s, next(self._serial), lambda now_s: self._unit_ended(transfer, now_s)))

    def _unit_ended(self, transfer: Transfer, now_s: float) -> None:
        """Ask what follows a unit; what the flow has moved beyond it in this epoch counts towards the next."""
        if transfer.index < 0:
            return
        following = transfer.on_unit(now_s)
        if transfer.index < 0:
            return
        if following <= 0:
            self.sent[transfer.sender] += min(0.0, self._table.remove(transfer))
            return
        self._table.left[transfer.index] += following
        if self._table.left[transfer.index] <= 1e-6:
            self._push_unit(min(self.now_s, now_s + following / transfer.rate), transfer)
