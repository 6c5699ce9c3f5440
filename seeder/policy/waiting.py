"""Nodes that wait at the tracker for a lease, in the order in which they are served.

Those that their neighbours neglect come first, then those that have fetched leases before; those that let leases lapse,
or whose address has many that nobody fetches, come last; within a rank it is first come first served. So a rack of
honest nodes is served as it came, and whoever takes leases and does not fetch them gets what is left. Values only: it
will not decide who gets what.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

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


class WaitingRoom:
    """The requests that wait, at most one a node."""

    def __init__(self) -> None:
        self._ranks: tuple[OrderedDict[NodeId, Waiting], ...] = tuple(OrderedDict() for _ in range(RANKS))

    def __contains__(self, node_id: NodeId) -> bool:
        return any(node_id in rank for rank in self._ranks)

    def add(self, node_id: NodeId, waiting: Waiting, *, rank: int) -> None:
        """Let a node that does not wait yet wait in a rank, 0 being served first."""
        self._ranks[rank][node_id] = waiting

    def pop(self, node_id: NodeId) -> Waiting | None:
        """Return a node's request, which waits no longer, or None."""
        for rank in self._ranks:
            if node_id in rank:
                return rank.pop(node_id)
        return None

    def in_turn(self) -> Iterator[list[tuple[NodeId, Waiting]]]:
        """Return the requests of each rank, first come first."""
        return (list(rank.items()) for rank in self._ranks if rank)

    def due_s(self) -> float | None:
        """Return when the first of them must be answered, or None while nobody waits: they wait equally long."""
        return min((next(iter(rank.values())).until_s for rank in self._ranks if rank), default=None)
