"""The tracker: announces come in, handouts go out, at once or when there is something worth handing out.

A node that asks for leases while the uplink is full is kept waiting for a moment instead of being sent away, so the
next lease goes out the instant an earlier one is fulfilled. Facts in, answers out, timers are requests: the tracker is
told the time and says when it wants to be told again. It performs no I/O; `seeder.serve.app` carries its answers, and
the simulator does the same on simulated time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from random import Random

from seeder.policy import granting, introductions
from seeder.policy.allowance import Allowance
from seeder.policy.disclosure import Disclosure
from seeder.policy.facts.node import Node
from seeder.policy.facts.registry import Registry
from seeder.policy.intervals import announce_interval_s, silence_s
from seeder.policy.limits import Limits
from seeder.policy.supply import is_supplied, patience_s
from seeder.policy.waiting import RANKS, Waiting, WaitingRoom
from swarmboot.ids import NodeId
from swarmboot.text.addresses import counted_as
from swarmboot.wire.announce import Announce, Handout, Lease, Neighbour, NodeState
from swarmboot.wire.report import BootReport

PATIENCE_S = 1.0
STRANGERS_REPORTS, STRANGERS_REPORTS_PER_S = 400.0, 4.0
"""So many reports an address may send at once, and later, of nodes that never announced: of a rack whose boot fails."""


Invite = Callable[[Node, float], tuple[Neighbour, ...] | None]
"""Returns where a node that fetches takes what it lacks of stage 0 at a time, if it is to serve that; else None."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A handout for the request that came with `ticket`."""

    ticket: Hashable
    handout: Handout


class Tracker:
    """Answers announces from one registry within `limits`; `origins` are the addresses that leases point to."""

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        *,
        origins: tuple[str, ...] = ("",),
        random: Random,
        is_stage0_wanted: bool = False,
    ) -> None:
        self.registry = registry
        self.is_stage0_wanted = is_stage0_wanted
        self.invite: Invite = lambda _node, _now_s: None
        self.limits = replace(limits, origins=len(origins))
        self.origins = origins
        self._random = random
        self._waiting = WaitingRoom()
        self._disclosure = Disclosure()
        self._expired_s = 0.0
        self._strangers_reports = Allowance(per_s=STRANGERS_REPORTS_PER_S, burst=STRANGERS_REPORTS)

    def announce(self, ticket: Hashable, announce: Announce, *, host: str, now_s: float) -> list[Answer]:
        """Take in one announce; return the answers that are due now, its own among them unless it is kept waiting.

        `host` is the address that the announce came from, which others are told. Raises DecodeError and ImpostorError
        as `Registry.observe` does.
        """
        if self.registry.is_overtaken(announce, host=host):
            self.registry.take_up(announce, now_s=now_s)
            return [*self._expire(now_s), self._farewell(ticket), *self._serve(now_s)]
        node = self.registry.observe(announce, host=host, now_s=now_s, measure_s=self._measure_s(announce.node))
        answers = [*self._expire(now_s), *self._dismiss(node)]
        if node.state is NodeState.LEAVING:
            self.registry.forget(node.id)
            return [*answers, self._farewell(ticket), *self._serve(now_s)]
        strangers = self._strangers(node, now_s)
        for other in strangers:
            self.registry.link(node, other)
        neighbours = tuple(introductions.address(other) for other in strangers)
        urgent = granting.lease_urgent(self.registry, node, announce.urgent, now_s=now_s, limits=self.limits)
        if urgent:
            answer = self._answer(node, ticket, now_s, leases=urgent, neighbours=neighbours)
            return [*answers, answer, *self._serve(now_s)]
        if not announce.free_lease_slots or node.is_complete:
            return [*answers, self._answer(node, ticket, now_s, neighbours=neighbours), *self._serve(now_s)]
        waiting = Waiting(ticket, announce.free_lease_slots, now_s + PATIENCE_S, neighbours)
        self._waiting.add(node.id, waiting, rank=granting.rank(self.registry, node, now_s=now_s, limits=self.limits))
        answers += self._serve(now_s)
        # Until a node has its first answer since it can be dialled its torrent is paused and refuses connections.
        is_dialable_now = node.joined_s == now_s and not node.is_starting
        if (strangers or is_dialable_now) and node.id in self._waiting:
            self._waiting.pop(node.id)
            answers.append(self._answer(node, ticket, now_s, neighbours=neighbours, is_cut_short=True))
        return answers

    def believes(self, report: BootReport, *, host: str, now_s: float) -> bool:
        """Return whether a report is its node's own: with its key, or of a node that never announced, within a rate."""
        try:
            node = self.registry.nodes.get(NodeId(bytes.fromhex(report.node)))
        except ValueError:
            node = None
        if node is not None:
            return node.may_speak(report.key, host)
        return self._strangers_reports.take(counted_as(host), now_s=now_s)

    def _measure_s(self, node_id: NodeId) -> float:
        """Return over how long what a node gets is measured: a piece counts when it is whole, so one must have come."""
        node = self.registry.nodes.get(node_id)
        return patience_s(self.registry, node, self.limits) if node else 0.0

    def _strangers(self, node: Node, now_s: float) -> tuple[Node, ...]:
        """Return whom to introduce a node to: nobody while it cannot be dialled."""
        if node.is_starting:
            return ()
        chosen = introductions.choose_neighbours(self.registry, node, limits=self.limits, random=self._random)
        known = self.registry.standing.known_near.get(counted_as(node.host), 0)
        return self._disclosure.allow(node.host, chosen, known=known, now_s=now_s)

    def tick(self, *, now_s: float) -> list[Answer]:
        """Return the answers that have become due by `now_s`."""
        return [*self._expire(now_s), *self._serve(now_s)]

    def withdraw(self, ticket: Hashable) -> None:
        """Forget a request whose asker has gone away."""
        for node_id in self._waiting.of_ticket(ticket):
            self._waiting.pop(node_id)

    def next_tick_s(self, *, now_s: float) -> float | None:
        """Return when `tick` should be called next, or None while nobody waits."""
        due_s = self._waiting.due_s()
        return None if due_s is None else max(due_s, now_s + 0.001)

    def _expire(self, now_s: float) -> list[Answer]:
        """Forget who is silent, and answer what they still wait for: after a jump of the clock they may be there."""
        if now_s - self._expired_s < 0.25:
            return []
        self._expired_s = now_s
        gone = self.registry.expire(now_s=now_s, silent_s=silence_s(self.registry, self.limits))
        return [self._farewell(waiting.ticket) for waiting in map(self._waiting.pop, gone) if waiting is not None]

    def _dismiss(self, node: Node) -> list[Answer]:
        """Answer a node's earlier request that still waits: it has asked again."""
        waiting = self._waiting.pop(node.id)
        return [] if waiting is None else [self._farewell(waiting.ticket)]

    def _farewell(self, ticket: Hashable) -> Answer:
        """Answer a request of which nothing more will come; it may still be the first answer that its node has."""
        return Answer(ticket, Handout(announce_after_s=0.0, uplink_bytes_per_s=self.limits.uplink_bytes_per_s))

    def _serve(self, now_s: float) -> list[Answer]:
        """Answer, in their turn, all who have something coming or have waited long enough."""
        return [answer for rank in range(RANKS) for answer in self._serve_rank(rank, now_s)]

    def _serve_rank(self, rank: int, now_s: float) -> list[Answer]:
        answers = []
        for node_id, waiting in self._waiting.in_turn(rank, freed=self.registry.book.freed, now_s=now_s):
            if waiting.looked_at == self.registry.book.freed and now_s < waiting.until_s:
                self._waiting.pass_over(node_id, rank=rank, looked_at=waiting.looked_at)
                continue
            node = self.registry.nodes[node_id]
            is_full = granting.is_pipe_full(self.registry, node, now_s=now_s, limits=self.limits)
            if is_full and now_s < waiting.until_s:
                break
            leases: tuple[Lease, ...] = ()
            if not is_full:
                leases = granting.lease_pieces(
                    self.registry, node, slots=waiting.free_lease_slots, now_s=now_s, limits=self.limits
                )
            if leases or now_s >= waiting.until_s or not self._is_worth_waiting(node):
                self._waiting.pop(node_id)
                answer = self._answer(node, waiting.ticket, now_s, leases=leases, neighbours=waiting.neighbours)
                answers.append(answer)
            else:
                self._waiting.pass_over(node_id, rank=rank, looked_at=self.registry.book.freed)
        return answers

    def _is_worth_waiting(self, node: Node) -> bool:
        """Return whether a lease could still come: there are pieces that nobody has and nobody fetches yet."""
        states = (self.registry.torrent_state(info_hash) for info_hash in node.have)
        return any(each.all & ~each.held & (~each.leased | each.unbegun) for each in states)

    def _answer(
        self,
        node: Node,
        ticket: Hashable,
        now_s: float,
        *,
        leases: tuple[Lease, ...] = (),
        neighbours: tuple[Neighbour, ...] = (),
        is_cut_short: bool = False,
    ) -> Answer:
        """Return a handout; one that is cut short asks the node to come back at once and wait for its leases."""
        after_s = 0.0 if is_cut_short else announce_interval_s(self.registry, node, self.limits)
        is_early = self.is_stage0_wanted and not (node.is_complete or node.is_hidden)
        stage0_from = self.invite(node, now_s) if is_early else None
        return Answer(
            ticket,
            Handout(
                announce_after_s=after_s,
                neighbours=neighbours,
                leases=leases,
                origins=self.origins,
                is_supplied=not leases and is_supplied(self.registry, node, now_s=now_s, limits=self.limits),
                patience_s=patience_s(self.registry, node, self.limits),
                is_stage0_wanted=self.is_stage0_wanted and (node.is_complete or stage0_from is not None),
                stage0_from=stage0_from or (),
                uplink_bytes_per_s=self.limits.uplink_bytes_per_s,
                is_hidden=node.is_hidden,
            ),
        )
