"""The stage-0 queue: machines without an operating system ask what to boot; each gets a turn, or is told to wait.

Facts in, answers out, timers are requests, as in `seeder.policy.tracker`. A machine that asks is kept waiting for up to
`HOLD_S`, so that its turn reaches it the moment it comes; then it is told to ask again and keeps its place.
Which booted nodes can serve stage 0 is taken from the registry, that is from their announces. It performs no I/O and
writes no script: `seeder.stage0.app` does.

A machine is a MAC address at the address that it asks from, so nobody takes or ends another's turn. An address that
lets turns pass without loading goes last: MAC addresses that somebody makes up hold nobody up for long.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from seeder.boot_script.grammar import Source
from seeder.boot_script.load import Stage0, Stage0Trust
from seeder.policy.admission import Admission, AdmissionLimits
from seeder.policy.allowance import Allowance
from seeder.policy.facts.node import Node
from seeder.policy.facts.registry import Registry
from seeder.policy.introductions import address
from seeder.policy.recruiting import MACHINE_MORE, NODE_MORE, Recruiting
from swarmboot.ids import Digest, NodeId
from swarmboot.release.manifest import Artifact
from swarmboot.text.addresses import counted_as
from swarmboot.text.units import GOODPUT
from swarmboot.wire.announce import Neighbour

HOLD_S = 4.0
"""How long a machine is kept waiting: shorter than a load may be silent, and than GRUB is patient."""

WAIT_S = 1
"""How long a machine that was sent away sleeps before it asks again."""

HOLDS_MAX = 2000
"""How many machines are kept waiting at once; the others are sent away at once, for longer."""

WASTED_MAX, WASTED_PER_S = 16.0, 1 / 60
"""So many turns may an address let pass, and so many a second, net of those that it used, before it goes last."""

LONG_WAIT_S = 5
_SURVEY_S = 0.2
_SERVER = "the server"


@dataclass(frozen=True, slots=True)
class Granted:
    """A machine may load now, from these neighbours in order and then from the server."""

    neighbours: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Queued:
    """A machine is to ask again after `wait_s`; so many are served before it."""

    ahead: int
    wait_s: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to the request that came with `ticket`."""

    ticket: Hashable
    answer: Granted | Queued


class _Machine(NamedTuple):
    mac: str
    host: str


@dataclass(slots=True)
class _Held:
    ticket: Hashable
    until_s: float
    rack: str


class Stage0Queue:
    """Answers machines for one release at a time. `slots` fixes how many load from the server at once; 0 adapts."""

    def __init__(self, registry: Registry, *, trust: Stage0Trust, uplink_bytes_per_s: float, slots: int = 0) -> None:
        self.trust = trust
        self.stage0: Stage0 | None = None
        self._registry = registry
        self._uplink_bytes_per_s = uplink_bytes_per_s
        self._slots = slots
        self.admission = Admission(self._limits(0))
        self.admission.offer(_SERVER, is_server=True)
        self._recruiting = Recruiting(self.admission)
        self._held: dict[_Machine, _Held] = {}
        self._turns: dict[_Machine, set[Digest]] = {}
        self._wasted = Allowance(per_s=WASTED_PER_S, burst=WASTED_MAX)
        self._offered: set[NodeId] = set()
        self._able: tuple[Node, ...] = ()
        self._surveyed_s: float | None = None

    def another(self) -> Stage0Queue:
        """Return a queue for another release on the same uplink, with nobody in it."""
        uplink = self._uplink_bytes_per_s
        return Stage0Queue(self._registry, trust=self.trust, uplink_bytes_per_s=uplink, slots=self._slots)

    def _limits(self, load_bytes: int) -> AdmissionLimits:
        slots = {"server_slots": self._slots, "are_slots_fixed": True} if self._slots else {}
        rate = self._uplink_bytes_per_s * GOODPUT
        return AdmissionLimits(uplink_bytes_per_s=rate, load_bytes=max(1, load_bytes), **slots)  # type: ignore[arg-type]

    @property
    def neighbours(self) -> int:
        """Return how many booted nodes can serve stage 0."""
        return len(self._able)

    @property
    def is_split(self) -> bool:
        """Return whether only the kernel may come from neighbours: firmware checks it, and no separate initramfs."""
        return self.trust is Stage0Trust.SECUREBOOT and self.stage0 is not None and not self.stage0.is_unified

    def _from_server(self) -> tuple[Artifact, ...]:
        """Return the images without which the server has not done its part of a load."""
        if self.stage0 is None:
            return ()
        return self.stage0.images[1:] if self.is_split and self._able else self.stage0.images

    def serve(self, stage0: Stage0 | None) -> None:
        """Take note of the release that machines are to boot from now on."""
        if stage0 != self.stage0:
            self.stage0 = stage0
            self._able = ()
            self._resize()
            self._surveyed_s = None

    def _resize(self) -> None:
        self.admission.resize(self._limits(sum(image.size_bytes for image in self._from_server())))

    def ask(self, ticket: Hashable, mac: str, *, host: str = "", rack: str = "", now_s: float) -> list[Verdict]:
        """Take in a request of the machine with this MAC address at `host`; return the answers that are due now."""
        machine = _Machine(mac, host)
        verdicts = self._dismiss(machine)
        if self._turns.pop(machine, None) is not None and not self._able:
            self._wasted.take(host, now_s=now_s)
        is_last = not self._wasted.has(host, now_s=now_s)
        self.admission.ask(machine, rack=rack, address=counted_as(host), is_last=is_last, now_s=now_s)
        is_crowded = len(self._held) >= HOLDS_MAX
        self._held[machine] = _Held(ticket, now_s if is_crowded else now_s + HOLD_S, rack)
        return verdicts + self.tick(now_s=now_s)

    def invite(self, node: Node, now_s: float) -> tuple[Neighbour, ...] | None:
        """Return where a node that fetches its images takes what it lacks of stage 0, if it is to serve that already.

        Empty for the server; None if it is not to. Where the firmware checks the kernel alone nobody is asked so early,
        nobody who fetches another release, for what that serves is of no use, and nobody who lets leases lapse.
        """
        if self.stage0 is None or self.is_split or node.id in self._offered or node.sequence != self.stage0.sequence:
            return None
        if node.credit < 0:
            return None
        invitation = self._recruiting.invite(node.id, address=node.host, now_s=now_s)
        if invitation is None:
            return None
        source = self._registry.nodes.get(NodeId(invitation.source)) if isinstance(invitation.source, bytes) else None
        return () if source is None else (address(source),)

    def more_for_machine(self, mac: str, *, host: str) -> float:
        """Return what a machine's load weighs more on the uplink than a lease: something in its turn, for others."""
        return MACHINE_MORE if self.trust.has_neighbours and self.is_loading(mac, host=host) else 0.0

    def more_for_node(self, host: str, sha256: str) -> float:
        """Return what a node's download weighs more on the uplink: something for stage 0 that it is about to serve."""
        if self.stage0 is None or sha256 not in {image.sha256.hex() for image in self.stage0.images}:
            return 0.0
        nodes = (node for node in self._registry.nodes.values() if node.host == host)
        return NODE_MORE if any(self._recruiting.fetches_from_origin(node.id) for node in nodes) else 0.0

    def hung_up(self, ticket: Hashable, *, now_s: float) -> None:
        """Take note that the asker has gone away."""
        for machine in [machine for machine, held in self._held.items() if held.ticket == ticket]:
            del self._held[machine]
            self.admission.step_out(machine, now_s=now_s)

    def sent(self, mac: str, digest: Digest, *, host: str = "", is_whole: bool, now_s: float) -> list[Verdict]:
        """Take note that the server sends a machine an image, or has sent it whole; return the answers due now.

        Who has no turn may load as well, and changes nothing by it.
        """
        machine = _Machine(mac, host)
        self.admission.progressed(machine, now_s=now_s)
        loaded = self._turns.get(machine)
        if not is_whole or self.stage0 is None or loaded is None:
            return []
        loaded.add(digest)
        if not {image.sha256 for image in self._from_server()} <= loaded:
            return []
        del self._turns[machine]
        self._wasted.give_back(host)
        self.admission.ended(machine)
        return self.tick(now_s=now_s)

    def is_loading(self, mac: str, *, host: str = "") -> bool:
        """Return whether a machine has had its turn and has not loaded everything yet."""
        return self.admission.is_loading(_Machine(mac, host))

    def tick(self, *, now_s: float) -> list[Verdict]:
        """Return the answers that have become due by `now_s`."""
        self._survey(now_s)
        verdicts = []
        for turn in self.admission.admit(now_s=now_s):
            machine = turn.node
            assert isinstance(machine, _Machine)
            held = self._held.pop(machine)
            self._turns[machine] = set()
            sources: tuple[Hashable, ...] = () if turn.source == _SERVER else (turn.source, *turn.alternates)
            if self.is_split:
                sources = self._kernel_sources(machine.mac, held.rack)
            neighbours = [address for address in map(self._address, sources) if address is not None]
            verdicts.append(Verdict(held.ticket, Granted(tuple(neighbours))))
        self._count_wasted(now_s)
        return verdicts + self._send_away(now_s)

    def _count_wasted(self, now_s: float) -> None:
        """Take note of turns that have passed, unless neighbours may have served them, which this server cannot see."""
        for machine in [machine for machine in self._turns if not self.admission.is_loading(machine)]:
            del self._turns[machine]
            if not self._able:
                self._wasted.take(machine.host, now_s=now_s)

    def _send_away(self, now_s: float) -> list[Verdict]:
        """Answer those who have been held for long enough."""
        verdicts = []
        for machine in self._overdue(now_s):
            held = self._held.pop(machine)
            self.admission.step_out(machine, now_s=now_s)
            wait_s = LONG_WAIT_S if len(self._held) >= HOLDS_MAX // 2 else WAIT_S
            ahead = self.admission.ahead(machine) + self.admission.loading
            verdicts.append(Verdict(held.ticket, Queued(ahead, wait_s)))
        return verdicts

    def _overdue(self, now_s: float) -> list[_Machine]:
        """Return who is held no longer: at the beginning, as all are held equally long, and who found no room there."""

        def is_over(machine: _Machine) -> bool:
            return self._held[machine].until_s <= now_s

        first = list(takewhile(is_over, self._held))
        last = list(takewhile(is_over, reversed(self._held)))
        return first if len(first) == len(self._held) else [*first, *reversed(last)]

    def next_tick_s(self, *, now_s: float) -> float | None:
        """Return when `tick` should be called next, or None while nobody waits."""
        if not self._held:
            return None
        due_s = min(self._held[next(ends)].until_s for ends in (iter(self._held), reversed(self._held)))
        admission_s = self.admission.next_s(now_s=now_s)
        survey_s = now_s + _SURVEY_S if self.trust.has_neighbours else due_s
        return max(now_s + 0.005, min(due_s, survey_s, due_s if admission_s is None else admission_s))

    def _dismiss(self, machine: _Machine) -> list[Verdict]:
        """Answer a machine's earlier request that still waits: it has asked again."""
        held = self._held.pop(machine, None)
        return [] if held is None else [Verdict(held.ticket, Queued(self.admission.ahead(machine), WAIT_S))]

    def _survey(self, now_s: float) -> None:
        """Bring what admission knows of neighbours up to date with their announces."""
        if not self.trust.has_neighbours or self.stage0 is None:
            return
        if self._surveyed_s is not None and now_s - self._surveyed_s < _SURVEY_S:
            return
        self._surveyed_s = now_s
        wanted = {image.sha256 for image in self.stage0.images}
        self._able = tuple(
            node
            for node in self._registry.nodes.values()
            if node.http_port and not node.is_hidden and wanted <= set(node.serves)
        )
        if self.is_split:
            self._resize()
        able = {} if self.is_split else {node.id: node for node in self._able}
        for node_id in self._offered - able.keys():
            self.admission.withdraw(node_id)
        for node_id in able.keys() - self._offered:
            node = able[node_id]
            self._recruiting.serves(node_id, address=node.host)
            self.admission.offer(
                node_id, rack=node.rack, bytes_per_s=float(node.serves_bytes_per_s), loads_sent=node.loads_sent
            )
        for node_id, node in able.items():
            if node.loads_sent is not None:
                self.admission.has_sent(node_id, node.loads_sent)
        self._offered = set(able)

    def _kernel_sources(self, mac: str, rack: str) -> tuple[NodeId, ...]:
        """Return neighbours to load the kernel from: those of the machine's rack first, not the same for everyone."""
        turn = int(mac.replace(":", ""), 16) % max(1, len(self._able))
        near_first = sorted(self._able[turn:] + self._able[:turn], key=lambda node: node.rack != rack)
        return tuple(node.id for node in near_first[: self.admission.limits.alternates])

    def _address(self, source: Hashable) -> Source | None:
        """Return where a neighbour serves HTTP; nothing for the server, which is always the last to be tried."""
        node = self._registry.nodes.get(NodeId(source)) if isinstance(source, bytes) else None
        return Source(node.host, node.http_port) if node is not None and node.http_port else None
