"""Who may load stage 0 (kernel and initramfs) now, and from whom: first come, first served, few at a time.

**Why.** N nodes that load S bytes at once over an uplink of C bytes/s all finish at N x S/C: nobody can help anybody
before the end. One after the other, the i-th finishes at i x S/C, and each that has booted serves others from then on.

**Why nobody loses.** A queue that serves one at a time and fair sharing are both work-conserving, and for loads of one
size both finish nodes in order of arrival. When sharing finishes node i, it has carried the loads of nodes 1 to i and
parts of later ones; the queue had by then carried as much, all of it for nodes 1 to i first. So the queue finishes node
i no later. This holds as long as those let in fill the uplink, hence two rules:

- *As few slots as fill the uplink.* One to begin with. When a load from a server ends and the loads together moved less
  than `FULL` of the uplink, as many are let in from then on as would fill it at that node's rate; when they filled it,
  one fewer. With k slots a node may finish behind sharing by part of what k - 1 others load meanwhile, no more. An open
  fault: while nobody knows yet how fast a node is too few are let in, and it is at times later by more than one load.
- *Nobody is overdue.* `PlainSharing` computes, as fair queueing does (generalised processor sharing's virtual time:
  Parekh and Gallager 1993), when sharing would have finished each node. A node that could otherwise no longer keep up
  with that is let in at once, whatever the slots. An uplink set too high thus costs the benefit of admission, no more.

**From whom.** A booted neighbour of the node's own rack with a free slot, then any booted neighbour, then a server.

Facts in, answers out; `now_s` comes in. It performs no I/O, and will not measure or write a script.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import islice

FULL = 0.85
"""The share of the uplink from which on it counts as full."""

STALL_S = 5.0
"""A load from a server that gains nothing for this long is taken for dead."""

Node = Hashable
Source = Hashable


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """What bounds admission: the servers' rate together, what one node loads, and how many load from one end at once.

    `are_slots_fixed` keeps the servers' slots as given, even if that makes nodes wait longer than plain sharing would.
    """

    uplink_bytes_per_s: float
    load_bytes: int
    server_slots: int = 1
    server_slots_most: int = 64
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
    loads: int = 0


@dataclass(slots=True)
class _Load:
    offer: _Offer
    begun_s: float
    due_s: float


@dataclass(slots=True)
class _Waiting:
    rack: str
    seen_s: float
    is_here: bool = True


class Admission:
    """The queue, the ends that can serve, and the loads under way."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self.limits = limits
        self._plain = PlainSharing(limits.uplink_bytes_per_s, limits.load_bytes)
        self._offers: dict[Source, _Offer] = {}
        self._servers: list[_Offer] = []
        self._racks: dict[str, OrderedDict[Source, _Offer]] = {}
        self._free: OrderedDict[Source, _Offer] = OrderedDict()
        self._free_racks: dict[str, OrderedDict[Source, _Offer]] = {}
        self._waiting: OrderedDict[Node, _Waiting] = OrderedDict()
        self._loads: OrderedDict[Node, _Load] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Return how many nodes wait."""
        return len(self._waiting)

    @property
    def loading(self) -> int:
        """Return how many nodes load."""
        return len(self._loads)

    def is_loading(self, node: Node) -> bool:
        """Return whether a node loads."""
        return node in self._loads

    @property
    def server_slots(self) -> int:
        """Return how many nodes may load from one server at once, as of now."""
        return max((offer.slots for offer in self._servers), default=self.limits.server_slots)

    def resize(self, limits: AdmissionLimits) -> None:
        """Go on with other limits, as when another release is served; nodes keep their places."""
        self.limits = limits
        self._plain.resize(limits.uplink_bytes_per_s, limits.load_bytes)

    def offer(self, source: Source, *, rack: str = "", is_server: bool = False, bytes_per_s: float = 0.0) -> None:
        """Take note that an end can serve from now on; 0 bytes per second stands for an unknown rate."""
        if source in self._offers:
            return
        slots = self.limits.server_slots if is_server else self.limits.neighbour_slots
        rate = bytes_per_s or self.limits.neighbour_bytes_per_s
        offer = self._offers[source] = _Offer(source, rack, is_server, slots, rate)
        if is_server:
            self._servers.append(offer)
        else:
            self._racks.setdefault(rack, OrderedDict())[source] = offer
            self._set_free(offer)

    def offers(self, source: Source) -> bool:
        """Return whether an end can serve."""
        return source in self._offers

    def withdraw(self, source: Source) -> None:
        """Take note that an end serves no more; who loads from it turns elsewhere or asks again."""
        offer = self._offers.pop(source, None)
        if offer is None:
            return
        if offer.is_server:
            self._servers.remove(offer)
            return
        del self._racks[offer.rack][source]
        offer.slots = 0
        self._set_free(offer)

    def ask(self, node: Node, *, rack: str = "", now_s: float) -> None:
        """Take note that a node waits for its turn; one that asks again keeps its place, unless it had its turn."""
        self.ended(node, now_s=now_s, is_whole=False)
        waiting = self._waiting.get(node)
        if waiting is None:
            self._plain.arrive(node, now_s=now_s)
            waiting = self._waiting[node] = _Waiting(rack, now_s)
        waiting.rack, waiting.seen_s, waiting.is_here = rack, now_s, True

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

    def ended(self, node: Node, *, now_s: float, is_whole: bool = True) -> None:
        """Take note that a node's load is over, well or not."""
        load = self._loads.pop(node, None)
        if load is None:
            return
        offer = load.offer
        if is_whole and offer.is_server and now_s > load.begun_s:
            self._measure(offer, self.limits.load_bytes / (now_s - load.begun_s))
        offer.loads -= 1
        self._set_free(offer)

    def _measure(self, offer: _Offer, bytes_per_s: float) -> None:
        uplink_bytes_per_s = self.limits.uplink_bytes_per_s / max(1, len(self._servers))
        is_full = bytes_per_s * offer.loads >= FULL * uplink_bytes_per_s
        self._plain.cap(uplink_bytes_per_s if is_full else bytes_per_s)
        if self.limits.are_slots_fixed:
            return
        if is_full:
            offer.slots = max(self.limits.server_slots, offer.slots - 1)
        elif offer.loads >= offer.slots:
            needed = math.ceil(FULL * uplink_bytes_per_s / bytes_per_s)
            offer.slots = min(self.limits.server_slots_most, max(offer.slots + 1, needed))

    def admit(self, *, now_s: float) -> list[Turn]:
        """Return who may load now, in order, and from whom."""
        self._expire(now_s)
        self._plain.advance(now_s)
        turns = []
        while (node := next((node for node, waiting in self._waiting.items() if waiting.is_here), None)) is not None:
            rack = self._waiting[node].rack
            offer = self._pick(rack) or (self._least_loaded() if self._is_overdue(node, now_s) else None)
            if offer is None:
                break
            del self._waiting[node]
            turns.append(self._begin(node, rack, offer, now_s))
        return turns

    def _begin(self, node: Node, rack: str, offer: _Offer, now_s: float) -> Turn:
        offer.loads += 1
        self._set_free(offer)
        served_s = STALL_S if offer.is_server else 1.25 * self.limits.load_bytes * offer.slots / offer.bytes_per_s
        self._loads[node] = _Load(offer, now_s, now_s + served_s)
        return Turn(node, offer.source, self._alternates(rack, offer.source))

    def _pick(self, rack: str) -> _Offer | None:
        """Return the end with a free slot that has gone unused for longest: own rack, any neighbour, a server."""
        for free in (self._free_racks.get(rack), self._free):
            if free:
                return next(iter(free.values()))
        server = self._least_loaded()
        return server if server is not None and server.loads < server.slots else None

    def _least_loaded(self) -> _Offer | None:
        return min(self._servers, key=lambda offer: offer.loads, default=None)

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

    def _is_overdue(self, node: Node, now_s: float) -> bool:
        """Return whether plain sharing would have finished this node by the time it could be finished now."""
        server = self._least_loaded()
        if server is None or self.limits.are_slots_fixed:
            return False
        sharers = (server.loads + 1) * len(self._servers)
        return self._plain.finish_s(node, now_s=now_s) <= now_s + self._plain.load_s(sharers)

    def _expire(self, now_s: float) -> None:
        for node in [node for node, load in self._loads.items() if load.due_s <= now_s]:
            self.ended(node, now_s=now_s, is_whole=False)
        while self._waiting:
            node, waiting = next(iter(self._waiting.items()))
            if waiting.is_here or now_s - waiting.seen_s <= self.limits.absent_s:
                break
            del self._waiting[node]

    def next_s(self, *, now_s: float) -> float | None:
        """Return when `admit` should be asked again if no fact arrives before; None while nobody waits."""
        if not self._waiting:
            return None
        due_s = [load.due_s for load in self._loads.values()]
        return max(now_s + 0.01, min(due_s, default=now_s + 1.0))

    def ahead(self, node: Node) -> int:
        """Return how many nodes are served before this one."""
        for place, waiting in enumerate(self._waiting):
            if waiting == node:
                return place
        return 0


@dataclass(slots=True)
class PlainSharing:
    """When each node would be done if all who ask loaded at once and shared the uplink: the yardstick, not a plan.

    Virtual time grows at the rate that each node of the shared uplink would get; a node is done when it has grown by
    one load since the node came. Loads have one size, so nodes are done in order of arrival.
    """

    uplink_bytes_per_s: float
    load_bytes: int
    _virtual_bytes: float = 0.0
    _now_s: float = 0.0
    _most_bytes_per_s: float = 0.0
    _ends: deque[tuple[float, Node]] = field(default_factory=deque)
    _end_of: dict[Node, float] = field(default_factory=dict)

    def resize(self, uplink_bytes_per_s: float, load_bytes: int) -> None:
        """Go on with another uplink or size of load, for nodes that come from now on."""
        self.uplink_bytes_per_s, self.load_bytes = uplink_bytes_per_s, load_bytes

    def cap(self, bytes_per_s: float) -> None:
        """Take note of how fast one node has loaded: alone it would not be faster than the fastest seen."""
        self._most_bytes_per_s = max(self._most_bytes_per_s, bytes_per_s)

    def _rate(self, sharers: int | None = None) -> float:
        share = self.uplink_bytes_per_s / max(1, len(self._ends) if sharers is None else sharers)
        return min(share, self._most_bytes_per_s) if self._most_bytes_per_s else share

    def load_s(self, sharers: int) -> float:
        """Return how long one load takes while so many share the uplink."""
        return self.load_bytes / self._rate(sharers)

    def advance(self, now_s: float) -> None:
        """Let the imagined sharing go on until `now_s`."""
        while self._ends:
            end_bytes, node = self._ends[0]
            done_s = self._now_s + max(0.0, end_bytes - self._virtual_bytes) / self._rate()
            if done_s > now_s:
                self._virtual_bytes += (now_s - self._now_s) * self._rate()
                break
            self._virtual_bytes, self._now_s = max(end_bytes, self._virtual_bytes), done_s
            self._ends.popleft()
            self._end_of.pop(node, None)
        self._now_s = max(self._now_s, now_s)

    def arrive(self, node: Node, *, now_s: float) -> None:
        """Add a node's load."""
        self.advance(now_s)
        end_bytes = self._virtual_bytes + self.load_bytes
        self._ends.append((max(end_bytes, self._ends[-1][0] if self._ends else 0.0), node))
        self._end_of[node] = end_bytes

    def finish_s(self, node: Node, *, now_s: float) -> float:
        """Return when a node would be done if nobody else came; `now_s` if it would be done already."""
        end_bytes = self._end_of.get(node)
        if end_bytes is None:
            return now_s
        elapsed_bytes = (now_s - self._now_s) * self._rate()
        return now_s + max(0.0, end_bytes - self._virtual_bytes - elapsed_bytes) / self._rate()
