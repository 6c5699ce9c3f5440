"""Who loads kernel and initramfs when, and from whom, before any of our code runs on a node.

`Stage0Admission` is the seam: whoever decides is asked through it, and the product's own admission can stand behind it.
The product's stands behind it in `netsim.delivery.admission`; here is the plain case that nobody decides and every
firmware asks its server at once. Deviations: a node learns at once that its turn has come; a corrupt neighbour is not
asked.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Protocol

from netsim.delivery.policy_loop import Action
from netsim.fluid.engine import STREAM_SHARES, Engine, Transfer
from seeder.policy.recruiting import MACHINE_MORE, NODE_MORE

POLL_S = 0.25
MACHINE_SHARES = round(STREAM_SHARES * (1 + MACHINE_MORE))
NODE_SHARES = round(STREAM_SHARES * (1 + NODE_MORE))
"""Of the server's link, what its pacer gives a machine's load, and a node's that is about to serve, beside a lease."""
NEIGHBOUR_SHARES = 64
"""Of a neighbour's link, what a load takes for each share of a flow of pieces: as `leecher.neighbour.giving_way` does,
two leave some twenty flows an eighth."""
NODE_FIRST_SHARES = 8 * NEIGHBOUR_SHARES
NODE_FIRST_S = 1.0
"""The same of what a node lacks that is about to serve, for so long: `leecher.neighbour.http_server` lets machines wait
for it, each for `AFTER_NODES_S` in all, which a kernel takes on links of 40 Mbit/s and less."""


class Stage0Admission(Protocol):
    """Decides which nodes may load now, and from whom. Ends are numbered as in `netsim.fluid.topology`."""

    def offer(self, end: int, rack: int, *, is_source: bool) -> None:
        """Take note that an end can serve from now on."""

    def withdraw(self, end: int) -> None:
        """Take note that an end serves no more."""

    def ask(self, node: int, rack: int) -> None:
        """Take note that a node waits."""

    def ended(self, end: int) -> None:
        """Take note that one load from an end is over."""

    def admit(self) -> list[tuple[int, int]]:
        """Return who may load now and from which end."""

    def next_source(self, end: int) -> int | None:
        """Return where a node goes on that `end` has cut off: a neighbour, None for the server."""


class EveryoneAtOnce:
    """No admission: each node loads from a server at once, the servers in turn."""

    def __init__(self) -> None:
        self._sources: list[int] = []
        self._waiting: deque[int] = deque()
        self._turn = 0

    def offer(self, end: int, rack: int, *, is_source: bool) -> None:  # noqa: ARG002 - the protocol's signature
        """Take note of a server; neighbours do not serve."""
        if is_source:
            self._sources.append(end)

    def withdraw(self, end: int) -> None:
        """Take note that a server is gone."""
        self._sources = [source for source in self._sources if source != end]

    def ask(self, node: int, rack: int) -> None:  # noqa: ARG002 - the protocol's signature
        """Take note that a node waits."""
        self._waiting.append(node)

    def ended(self, end: int) -> None:
        """Nothing follows."""

    def admit(self) -> list[tuple[int, int]]:
        """Return everyone who waits, if there is a server."""
        admitted = []
        while self._sources and self._waiting:
            self._turn += 1
            admitted.append((self._waiting.popleft(), self._sources[self._turn % len(self._sources)]))
        return admitted

    def next_source(self, end: int) -> int | None:  # noqa: ARG002 - the protocol's signature
        """Return None: there are servers alone."""
        return None


class Stage0:
    """Carries out an admission's decisions as transfers; `done` is called with the moment a node has its stage 0."""

    def __init__(
        self, engine: Engine, admission: Stage0Admission, *, size_bytes: int, machine_shares: int = STREAM_SHARES
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._size_bytes = size_bytes
        self._done: dict[int, Action] = {}
        self._loading: dict[int, tuple[int, Transfer]] = {}
        self._is_polling = False
        self._machine_shares = machine_shares
        self.from_neighbours = 0
        for end in list(engine.topology.source_ends)[: engine.topology.servers]:
            admission.offer(end, -1, is_source=True)

    @property
    def is_wanted(self) -> bool:
        """Return whether any node waits for its turn."""
        return len(self._done) > len(self._loading)

    def load(self, node: int, *, now_s: float, done: Action) -> None:
        """Have a node load stage 0 as soon as it is admitted."""
        if not self._size_bytes:
            done(now_s)
            return
        self._done[node] = done
        self._admission.ask(node, int(self._engine.topology.racks[node]))
        self._admit()

    def booted(self, node: int) -> None:
        """Take note that a node can serve others."""
        self._admission.offer(node, int(self._engine.topology.racks[node]), is_source=False)
        self._admit()

    def withdrawn(self, end: int) -> None:
        """Take note that a node serves nobody new for now; who loads from it goes on."""
        self._admission.withdraw(end)

    def cut(self, end: int) -> None:
        """Take note that a node's program has ended: who loads from it begins anew at the next source of its script."""
        for node, (sender, transfer) in list(self._loading.items()):
            if end == transfer.sender:
                self._engine.stop(transfer)
                source = self._admission.next_source(end)
                source = self._engine.topology.nodes if source is None else source
                self._loading[node] = (sender, self._start(source, node))

    def lost(self, end: int) -> None:
        """Take note that an end is gone: those who load from it must wait again, and it loads no more."""
        self._admission.withdraw(end)
        self._done.pop(end, None)
        for node, (sender, transfer) in list(self._loading.items()):
            if end in (node, transfer.sender):
                self._engine.stop(transfer)
                del self._loading[node]
                self._admission.ended(sender)
            if end == transfer.sender and node in self._done:
                self._admission.ask(node, int(self._engine.topology.racks[node]))
        self._admit()

    def _admit(self) -> None:
        for node, end in self._admission.admit():
            if node in self._done:
                self._loading[node] = (end, self._start(end, node))
            else:
                self._admission.ended(end)
        if self.is_wanted and not self._is_polling:
            self._is_polling = True
            self._engine.at(self._engine.now_s + POLL_S, self._poll)

    def _start(self, source: int, node: int) -> Transfer:
        shares = self._machine_shares if source >= self._engine.topology.nodes else NEIGHBOUR_SHARES
        return self._engine.start(source, node, self._size_bytes, partial(self._over, node), shares=shares)

    def _poll(self, _now_s: float) -> None:
        """Ask the admission again while nodes wait: time alone may change its mind."""
        self._is_polling = False
        self._admit()

    def _over(self, node: int, now_s: float) -> float:
        end, transfer = self._loading.pop(node)
        self.from_neighbours += transfer.sender < self._engine.topology.nodes
        self._admission.ended(end)
        self._done.pop(node)(now_s)
        self._admit()
        return 0.0
