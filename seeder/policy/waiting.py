"""Nodes that wait at the tracker for a lease, in the order in which they are served.

Those that their neighbours neglect come first, then those that have fetched leases before; those that let leases lapse,
or whose address has many that nobody fetches, come last; within a rank it is first come first served. So a rack of
honest nodes is served as it came, and whoever takes leases and does not fetch them gets what is left. Whom there was
nothing for is passed over until something is freed: an announce costs as much when thousands wait. Values only: it
will not decide who gets what.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from swarmboot.ids import NodeId
from swarmboot.wire.announce import Neighbour

RANKS = 4


@dataclass(slots=True)
class Waiting:
    """One node's request: its ticket, the leases it asks for, when it is answered at the latest, whom it is to meet.

    `looked_at` says how much had been freed when there was nothing for it.
    """

    ticket: Hashable
    free_lease_slots: int
    until_s: float
    neighbours: tuple[Neighbour, ...]
    looked_at: int = -1


Requests = OrderedDict[NodeId, Waiting]


@dataclass(slots=True)
class _Rank:
    """Who waits in one rank: `passed` over first, for whom there was nothing, then those `next` in turn."""

    passed: Requests = field(default_factory=OrderedDict)
    next: Requests = field(default_factory=OrderedDict)

    def look_again(self, freed: int) -> None:
        """Put those in turn again, before all others, for whom there was nothing before something was freed."""
        if self.passed and next(iter(self.passed.values())).looked_at != freed:
            for node_id, waiting in reversed(self.passed.items()):
                self.next[node_id] = waiting
                self.next.move_to_end(node_id, last=False)
            self.passed = OrderedDict()

    def first(self, now_s: float) -> tuple[NodeId, Waiting] | None:
        """Return who is served next: who has been passed over and must be answered by now, then who is in turn."""
        for node_id, waiting in self.passed.items():
            if waiting.until_s <= now_s:
                return node_id, waiting
            break
        return next(iter(self.next.items()), None)


class WaitingRoom:
    """The requests that wait, at most one a node."""

    def __init__(self) -> None:
        self._ranks = tuple(_Rank() for _ in range(RANKS))

    def __contains__(self, node_id: NodeId) -> bool:
        return any(node_id in rank.passed or node_id in rank.next for rank in self._ranks)

    def add(self, node_id: NodeId, waiting: Waiting, *, rank: int) -> None:
        """Let a node that does not wait yet wait in a rank, 0 being served first."""
        self._ranks[rank].next[node_id] = waiting

    def pop(self, node_id: NodeId) -> Waiting | None:
        """Return a node's request, which waits no longer, or None."""
        for rank in self._ranks:
            for requests in (rank.passed, rank.next):
                if node_id in requests:
                    return requests.pop(node_id)
        return None

    def in_turn(self, rank: int, *, freed: int, now_s: float) -> Iterator[tuple[NodeId, Waiting]]:
        """Yield a rank's requests, first come first, that are due by `now_s` or may have something coming.

        The caller pops each that it answers, or passes it over, before it asks for the next; it may stop at any.
        """
        requests = self._ranks[rank]
        requests.look_again(freed)
        while (first := requests.first(now_s)) is not None:
            yield first

    def pass_over(self, node_id: NodeId, *, rank: int, looked_at: int) -> None:
        """Take note that there was nothing for the first in turn when so much had been freed."""
        requests = self._ranks[rank]
        waiting = requests.passed[node_id] = requests.next.pop(node_id)
        waiting.looked_at = looked_at

    def of_ticket(self, ticket: Hashable) -> list[NodeId]:
        """Return whose request came with a ticket."""
        everyone = chain.from_iterable((*rank.passed.items(), *rank.next.items()) for rank in self._ranks)
        return [node_id for node_id, waiting in everyone if waiting.ticket == ticket]

    def due_s(self) -> float | None:
        """Return when the first of them must be answered, or None while nobody waits: they wait equally long."""
        firsts = (next(chain(rank.passed.values(), rank.next.values()), None) for rank in self._ranks)
        return min((first.until_s for first in firsts if first is not None), default=None)
