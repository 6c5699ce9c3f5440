"""The product's stage-0 admission, `seeder.policy.admission`, behind the seam of `netsim.delivery.stage0_loads`.

Deviation: the simulator says which end has finished a load, not whose load it was; the oldest load of that end is taken
for the one, as loads of one size that share an end finish in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from seeder.policy.admission import Admission, AdmissionLimits
from seeder.policy.facts.node import Node
from seeder.policy.recruiting import Recruiting
from swarmboot.wire.announce import Neighbour


class ProductAdmission:
    """Admission as the seeder does it. `now_s` tells the simulated time."""

    def __init__(self, limits: AdmissionLimits, *, now_s: Callable[[], float]) -> None:
        self.admission = Admission(limits)
        self.recruiting = Recruiting(self.admission)
        self._now_s = now_s
        self._loads: dict[int, deque[int]] = {}
        self._sources: list[int] = []

    def offer(self, end: int, rack: int, *, is_source: bool) -> None:
        """Take note that an end can serve from now on."""
        if is_source:
            self._sources.append(end)
        self.recruiting.serves(end)
        self.admission.offer(end, rack=str(rack), is_server=is_source, loads_sent=None if is_source else 0)

    def withdraw(self, end: int) -> None:
        """Take note that an end serves no more."""
        self.admission.withdraw(end)

    def ask(self, node: int, rack: int) -> None:
        """Take note that a node waits."""
        self.admission.ask(node, rack=str(rack), now_s=self._now_s())

    def ended(self, end: int) -> None:
        """Take note that one load from an end is over."""
        loads = self._loads.get(end)
        if loads:
            self.admission.ended(loads.popleft())

    def admit(self) -> list[tuple[int, int]]:
        """Return who may load now and from which end."""
        self._keep_alive()
        admitted = []
        for turn in self.admission.admit(now_s=self._now_s()):
            assert isinstance(turn.node, int)
            assert isinstance(turn.source, int)
            self._loads.setdefault(turn.source, deque()).append(turn.node)
            admitted.append((turn.node, turn.source))
        return admitted

    def next_source(self, end: int) -> int | None:
        """Return where a node goes on that `end` has cut off: a neighbour, None for the server."""
        source = self.admission.next_neighbour()
        return source if isinstance(source, int) and source != end else None

    def invite(self, node: Node, now_s: float) -> tuple[Neighbour, ...] | None:
        """Return what `seeder.policy.stage0_queue` returns; ends are named as `netsim.delivery.swarm_node` does."""
        if node.credit < 0:
            return None
        invitation = self.recruiting.invite(int.from_bytes(node.id, "big"), now_s=now_s)
        if invitation is None:
            return None
        return () if invitation.source is None else (Neighbour(str(invitation.source), 1, 1),)

    def _keep_alive(self) -> None:
        """Say that every load from a server gains bytes: a simulated one that does not is withdrawn with its end."""
        for source in self._sources:
            for node in self._loads.get(source, ()):
                self.admission.progressed(node, now_s=self._now_s())
