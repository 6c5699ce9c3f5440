"""Who may load stage 0 (kernel and initramfs) now, and from whom: first come, first served, few at a time.

**Why.** N nodes that load S bytes at once over an uplink of C bytes/s all finish at N x S/C: nobody can help anybody
before the end. One after the other, the i-th finishes at i x S/C, and each that has booted serves others from then on.

**Why nobody loses.** Each server has a clock, as in Zhang's virtual clock (SIGCOMM 1990): when its uplink is through
with all that it was let send. A node is let in when its server sends nobody anything, and when the clock is due.

- Sharing, which is work-conserving too, cannot have finished i nodes before the uplink has carried i loads. The i-th is
  let in when it can have carried i - 1, one load of the full uplink sooner, and is done after what its load takes
  alone, while those let in do not fill the uplink. So it is done later than under sharing by less than its own load;
  and where one node fills the uplink, not later at all.
- The clock asks nobody how fast a node is: slow ones pile up until they fill the uplink, and so they do if a turn costs
  a round trip in which nothing is sent. One that dies holds nobody up, and no clock is ahead of a server that is idle.
- An uplink set too high costs the benefit of admission, no more: nodes pile up as if they were slow. One set too low
  costs nothing: a server that is idle lets the next one in.

**From whom.** A booted neighbour of the node's own rack with a free slot, then any booted neighbour, then a server,
unless neighbours take so many that nobody would feel it (`seeder.policy.standing_back`).

Facts in, answers out; `now_s` comes in. It performs no I/O, and will not measure or write a script.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import islice

from seeder.policy.demand import Demand
from seeder.policy.standing_back import StandingBack
from seeder.policy.waiting_line import WaitingLine

STALL_S = 5.0
"""A load from a server that gains nothing for this long is taken for dead."""

AHEAD_MAX = 1000
"""How far the count of those who are served before a machine goes: it is asked with every question."""

TOLD_S = 30.0
"""So long a load from a neighbour that says when one is over may take: a machine may die in its load."""

_CREDIT_TURNS = 1.0
"""How many turns late a clock may be and still go on from where it was: turns change late by a round trip or a poll."""

Node = Hashable
Source = Hashable


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """What bounds admission: the servers' rate together, what one node loads, and how many load from one end at once.

    A server always lets `server_slots` load at once; `are_slots_fixed` says that it never lets more, even if that makes
    nodes wait longer than plain sharing would.
    """

    uplink_bytes_per_s: float
    load_bytes: int
    server_slots: int = 1
    are_slots_fixed: bool = False
    neighbour_slots: int = 2
    neighbour_bytes_per_s: float = 62.5e6
    alternates: int = 2
    absent_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Turn:
    """A node may load now: from `source`, and if that fails from `alternates` in order."""

    node: Node
    source: Source
    alternates: tuple[Source, ...] = ()


@dataclass(slots=True)
class _Offer:
    source: Source
    rack: str
    is_server: bool
    slots: int
    bytes_per_s: float
    loads_sent: int | None = None
    """How many loads a neighbour says have ended; None if it does not say."""
    loading: OrderedDict[Node, None] = field(default_factory=OrderedDict)
    clock_s: float = 0.0
    """When a server's uplink is through with all that was let in."""

    @property
    def loads(self) -> int:
        """Return how many load here."""
        return len(self.loading)


@dataclass(slots=True)
class _Load:
    offer: _Offer
    due_s: float


@dataclass(slots=True)
class _Waiting:
    rack: str
    seen_s: float
    number: int
    address: Hashable
    is_here: bool = False
    is_last: bool = False


class Admission:
    """The queue, the ends that can serve, and the loads under way."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self.limits = limits
        self._offers: dict[Source, _Offer] = {}
        self._servers: list[_Offer] = []
        self._racks: dict[str, OrderedDict[Source, _Offer]] = {}
        self._free: OrderedDict[Source, _Offer] = OrderedDict()
        self._free_racks: dict[str, OrderedDict[Source, _Offer]] = {}
        self._waiting: OrderedDict[Node, _Waiting] = OrderedDict()
        self._here = WaitingLine(), WaitingLine()  # those that go last in a line of their own
        self._drawn = 0
        self._demand = Demand()
        self._standing_back = StandingBack()
        self._loads: OrderedDict[Node, _Load] = OrderedDict()
        self._lent: OrderedDict[Source, None] = OrderedDict()
        self._due_s = math.inf

    @property
    def neighbours(self) -> int:
        """Return how many booted neighbours can serve."""
        return len(self._offers) - len(self._servers)

    def next_neighbour(self, is_right: Callable[[Source], bool] = lambda _source: True) -> Source | None:
        """Return a neighbour that can serve and is right, each in turn; None if there is none."""
        for _ in range(len(self._lent)):
            source = next(iter(self._lent))
            self._lent.move_to_end(source)
            if is_right(source):
                return source
        return None

    @property
    def waiting(self) -> int:
        """Return how many nodes wait."""
        return len(self._waiting)

    @property
    def demand(self) -> int:
        """Return how many of those who wait count: a few of an address, none of those that go last."""
        return self._demand.total

    @property
    def loading(self) -> int:
        """Return how many nodes load."""
        return len(self._loads)

    def is_loading(self, node: Node) -> bool:
        """Return whether a node loads."""
        return node in self._loads

    def resize(self, limits: AdmissionLimits) -> None:
        """Go on with other limits, as when another release is served; nodes keep their places."""
        self.limits = limits

    def offer(
        self, source: Source, *, rack: str = "", is_server: bool = False, bytes_per_s: float = 0.0,
        loads_sent: int | None = None,
    ) -> None:  # fmt: skip
        """Take note that an end can serve from now on; 0 bytes per second stands for an unknown rate.

        `loads_sent` is what `has_sent` counts on from, None if the end will not say.
        """
        if source in self._offers:
            return
        slots = self.limits.server_slots if is_server else self.limits.neighbour_slots
        rate = bytes_per_s or self.limits.neighbour_bytes_per_s
        offer = self._offers[source] = _Offer(source, rack, is_server, slots, rate, loads_sent)
        if is_server:
            self._servers.append(offer)
        else:
            self._racks.setdefault(rack, OrderedDict())[source] = offer
            self._lent[source] = None
            self._set_free(offer)

    def has_sent(self, source: Source, loads: int) -> None:
        """Take note that a neighbour says that so many loads have ended in all: as many more slots are free there."""
        offer = self._offers.get(source)
        if offer is None:
            return
        ended = loads - (offer.loads_sent or 0)
        offer.loads_sent = loads
        for node in list(islice(offer.loading, max(0, ended))):
            self.ended(node)

    def withdraw(self, source: Source) -> None:
        """Take note that an end serves no more; who loads from it turns elsewhere or asks again."""
        offer = self._offers.pop(source, None)
        if offer is None:
            return
        if offer.is_server:
            self._servers.remove(offer)
            return
        del self._racks[offer.rack][source], self._lent[source]
        offer.slots = 0
        self._set_free(offer)
        if not self._racks[offer.rack]:
            del self._racks[offer.rack], self._free_racks[offer.rack]

    def ask(self, node: Node, *, rack: str = "", address: Hashable = None, is_last: bool = False, now_s: float) -> None:
        """Take note that a node waits for its turn; one that asks again keeps its place, unless it had its turn.

        `address` is where it asks from, itself if that is None; `is_last` lets everybody else go before it.
        """
        self.ended(node)
        waiting = self._waiting.get(node)
        if waiting is None:
            if not self._waiting:
                self._set_clocks(now_s)
            self._drawn += 1
            waiting = self._waiting[node] = _Waiting(rack, now_s, self._drawn, node if address is None else address)
            self._demand.add(waiting.address)
        if not waiting.is_here or waiting.is_last != is_last:
            self._here[is_last].add(waiting.number, node)
        if waiting.is_last != is_last:
            (self._demand.remove if is_last else self._demand.add)(waiting.address)
        waiting.rack, waiting.seen_s, waiting.is_here, waiting.is_last = rack, now_s, True, is_last

    def step_out(self, node: Node, *, now_s: float) -> None:
        """Take note that a node was told to ask again: it keeps its place for `absent_s`, and others go before it."""
        waiting = self._waiting.get(node)
        if waiting is not None:
            waiting.seen_s, waiting.is_here = now_s, False

    def progressed(self, node: Node, *, now_s: float) -> None:
        """Take note that a node's load from a server gains bytes."""
        load = self._loads.get(node)
        if load is not None and load.offer.is_server:
            load.due_s = now_s + STALL_S

    def ended(self, node: Node) -> None:
        """Take note that a node's load is over, well or not."""
        load = self._loads.pop(node, None)
        if load is None:
            return
        offer = load.offer
        del offer.loading[node]
        if self._offers.get(offer.source) is offer:  # not one that has gone, and come again since
            self._set_free(offer)

    def _set_clocks(self, now_s: float) -> None:
        """Forget the time in which nobody waited, or servers stood back: no clock is behind."""
        for server in self._servers:
            server.clock_s = max(server.clock_s, now_s)

    @property
    def _turn_s(self) -> float:
        """Return what one load takes of one server's uplink."""
        return self.limits.load_bytes * max(1, len(self._servers)) / self.limits.uplink_bytes_per_s

    def admit(self, *, now_s: float) -> list[Turn]:
        """Return who may load now, in order, and from whom."""
        self._expire(now_s)
        if self._is_back(now_s):
            self._set_clocks(now_s)
        turns = []
        while self._has_any_room(now_s) and (node := self._next()) is not None:
            rack = self._waiting[node].rack
            offer = self._pick(rack, now_s)
            if offer is None:
                break
            self._leave(node)
            turns.append(self._begin(node, rack, offer, now_s))
        return turns

    def _leave(self, node: Node) -> None:
        waiting = self._waiting.pop(node)
        if not waiting.is_last:
            self._demand.remove(waiting.address)

    def _next(self) -> Node | None:
        """Return who is served next: whoever is here and came first, those who go last after all others."""
        first = self._first_of(is_last=False)
        return self._first_of(is_last=True) if first is None else first

    def _first_of(self, *, is_last: bool) -> Node | None:
        def is_right(number: int, node: Node) -> bool:
            waiting = self._waiting.get(node)
            return waiting is not None and waiting.number == number and waiting.is_here and waiting.is_last is is_last

        return self._here[is_last].first(is_right)

    def _begin(self, node: Node, rack: str, offer: _Offer, now_s: float) -> Turn:
        through_s = offer.clock_s if offer.loads else min(offer.clock_s, now_s)
        offer.clock_s = max(through_s, now_s - _CREDIT_TURNS * self._turn_s) + self._turn_s
        offer.loading[node] = None
        if not offer.is_server:
            self._standing_back.lent(now_s)
        self._set_free(offer)
        served_s = self._served_s(offer)
        self._loads[node] = _Load(offer, now_s + served_s)
        self._due_s = min(self._due_s, now_s + served_s)
        return Turn(node, offer.source, self._alternates(rack, offer.source))

    def _served_s(self, offer: _Offer) -> float:
        """Return how long a load may last of which nothing is heard."""
        if offer.is_server:
            return STALL_S
        by_rate_s = 1.25 * self.limits.load_bytes * offer.slots / offer.bytes_per_s
        return by_rate_s if offer.loads_sent is None else max(TOLD_S, by_rate_s)

    def _pick(self, rack: str, now_s: float) -> _Offer | None:
        """Return the end with room that has gone unused for longest: own rack, any neighbour, a server."""
        for free in (self._free_racks.get(rack), self._free):
            if free:
                return next(iter(free.values()))
        return min((each for each in self._servers if self._has_room(each, now_s)), key=_busyness, default=None)

    def _has_any_room(self, now_s: float) -> bool:
        """Return whether anybody could load from anywhere: cheaper than to look for who is next."""
        return bool(self._free) or any(self._has_room(server, now_s) for server in self._servers)

    def _is_back(self, now_s: float) -> bool:
        """Return whether servers leave machines to neighbours."""
        return now_s < self._standing_back.until_s(self._turn_s)

    def _has_room(self, server: _Offer, now_s: float) -> bool:
        if self._is_back(now_s):
            return False
        is_due = not self.limits.are_slots_fixed and server.clock_s <= now_s
        return is_due or server.loads < server.slots

    def _alternates(self, rack: str, chosen: Source) -> tuple[Source, ...]:
        """Return other neighbours to turn to: those of the rack first, least recently chosen first."""
        near = (source for source in self._racks.get(rack, ()) if source != chosen)
        found = list(islice(near, self.limits.alternates))
        far = (source for source in self._free if source != chosen and source not in found)
        return (*found, *islice(far, self.limits.alternates - len(found)))

    def _set_free(self, offer: _Offer) -> None:
        """Keep the lists of neighbours with a free slot, in the order in which they became or were used."""
        if offer.is_server:
            return
        near = self._free_racks.setdefault(offer.rack, OrderedDict())
        self._free.pop(offer.source, None)
        near.pop(offer.source, None)
        if offer.loads < offer.slots:
            self._free[offer.source] = near[offer.source] = offer

    def _expire(self, now_s: float) -> None:
        if self._due_s <= now_s:
            for node in [node for node, load in self._loads.items() if load.due_s <= now_s]:
                self.ended(node)
            self._due_s = min((load.due_s for load in self._loads.values()), default=math.inf)
        while self._waiting:
            node, waiting = next(iter(self._waiting.items()))
            if waiting.is_here or now_s - waiting.seen_s <= self.limits.absent_s:
                break
            self._leave(node)

    def next_s(self, *, now_s: float) -> float | None:
        """Return when `admit` should be asked again if no fact arrives before; None while nobody waits."""
        if not self._waiting:
            return None
        due_s = [load.due_s for load in self._loads.values()]
        if (until_s := self._standing_back.until_s(self._turn_s)) > now_s:
            due_s.append(until_s)
        elif not self.limits.are_slots_fixed:
            due_s += [server.clock_s for server in self._servers]
        return max(now_s + 0.01, min(due_s, default=now_s + 1.0))

    def ahead(self, node: Node) -> int:
        """Return how many nodes are served before this one, those aside who go last; of very many so many."""
        place = 0
        for other, waiting in islice(self._waiting.items(), AHEAD_MAX) if node in self._waiting else ():
            if other == node:
                break
            place += not waiting.is_last
        return place


def _busyness(server: _Offer) -> tuple[int, float]:
    """Return how much a server has to do: its loads, then its clock."""
    return server.loads, server.clock_s
