"""Which nodes serve stage 0 before they have their images, and where they take what they lack of it.

**Why so early.** A fleet grows by generations: a machine that loads, starts its kernel and serves. A node has just
loaded these very bytes, so what it lacks is a moment away; its images and its services are seconds away. The time that
a generation takes decides when the last machine has its turn (docs/stage0.md).

**Why not everybody.** What a node fetches again and sends to others it takes from its own images. So nobody is asked
while nobody waits, and no more nodes than machines that wait, nodes that serve and are about to counted: a load that a
node has to itself is over in half the time of one of two. A fleet whose server keeps up alone is left as it is. Of
those who wait few of an address count, for machines can be made up.

**Who.** An address where one was asked and did not serve in time is asked no more until one there serves: it would hold
the origin's place against all others. To ask only nodes that have fetched a lease would cost a fleet of 500 eight
seconds, because those that are asked with their first announce help the most.

**From whom.** From nodes that serve already, few from each; while they are all taken one from the origin at a time.

Facts in, answers out; `now_s` comes in. It will not send anything.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from seeder.policy.admission import Admission, Node, Source

FETCHES_MAX = 2
"""So many nodes take what they lack from one neighbour at a time: what one takes the others wait for."""

MACHINE_MORE, NODE_MORE = 7.0, 31.0
"""What a machine's stage 0 in its turn, and that of a node that is about to serve, weigh on the uplink beside a lease
that weighs one: the fleet waits for them, and the images wait for nobody."""

PENDING_S = 5.0
"""A node that does not serve so long after it was asked is counted no more, and its address not asked again."""

BROKEN_MAX = 4096
"""So many addresses are remembered where a node was asked and did not serve in time."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A node is to serve stage 0 now; what it lacks it takes from `source`, from the origin if that is None."""

    source: Source | None


@dataclass(slots=True)
class _Pending:
    invitation: Invitation
    until_s: float
    address: Hashable


class Recruiting:
    """Asks nodes to serve for one admission's queue."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._pending: OrderedDict[Node, _Pending] = OrderedDict()
        self._broken: OrderedDict[Hashable, None] = OrderedDict()

    @property
    def pending(self) -> int:
        """Return how many nodes are about to serve."""
        return len(self._pending)

    def fetches_from_origin(self, node: Node) -> bool:
        """Return whether a node is about to serve and takes what it lacks from the origin."""
        pending = self._pending.get(node)
        return pending is not None and pending.invitation.source is None

    def invite(self, node: Node, *, address: Hashable = None, now_s: float) -> Invitation | None:
        """Return what a node that fetches its images is asked, the same as before if it does not serve yet.

        `address` is where it is, itself if that is None. None leaves it to its images.
        """
        address = node if address is None else address
        self._expire(now_s)
        known = self._pending.get(node)
        if known is not None:
            return known.invitation
        if address in self._broken or self._admission.demand <= self._admission.neighbours + self.pending:
            return None
        taken = Counter(each.invitation.source for each in self._pending.values())
        source = self._admission.next_neighbour(lambda source: taken[source] < FETCHES_MAX)
        if source is None and taken[None]:
            return None
        self._pending[node] = _Pending(Invitation(source), now_s + PENDING_S, address)
        return self._pending[node].invitation

    def serves(self, node: Node, *, address: Hashable = None) -> None:
        """Take note that a node serves: it is not about to any more, and its address may be asked again."""
        self._pending.pop(node, None)
        self._broken.pop(node if address is None else address, None)

    def _expire(self, now_s: float) -> None:
        while self._pending and next(iter(self._pending.values())).until_s <= now_s:  # all are given equally long
            _, broken = self._pending.popitem(last=False)
            self._broken[broken.address] = None
            if len(self._broken) > BROKEN_MAX:
                self._broken.popitem(last=False)
