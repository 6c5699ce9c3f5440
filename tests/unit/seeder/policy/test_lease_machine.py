"""Leases under any order of announces, deaths, lies and clock jumps: no piece is held twice, and none is lost."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, invariant, multiple, rule

from seeder.policy.facts.leases import OpenLease
from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import Torrent
from seeder.policy.limits import Limits
from seeder.policy.tracker import PATIENCE_S, Answer, Tracker
from swarmboot.ids import InfoHash, LeaseId, NodeId, NodeKey, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.announce import Announce, Lease, NodeState

ROOT = InfoHash(b"r" * 32)
COUNT, PIECE = 48, 1 << 16
EVERYTHING = piece_set.all_pieces(COUNT)
HONEST = NodeId(b"honest".ljust(16))
names = st.integers(1, 5)
sets = st.sampled_from([0, 0, 1, 0b1010, 0xFF, EVERYTHING >> 20, EVERYTHING])


class Leases(RuleBasedStateMachine):
    """The real registry and tracker, with nodes that say and do anything."""

    granted: Bundle[Lease] = Bundle("granted")

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0
        self.registry = Registry()
        self.registry.add_torrent(Torrent(ROOT, COUNT * PIECE, PIECE))
        self.tracker = Tracker(
            self.registry, Limits(uplink_bytes_per_s=12.5e6), origins=("", "https://m"), random=Random(1)
        )
        self.asked = 0
        self.waiting: dict[int, tuple[NodeId, float]] = {}
        self.holders: dict[LeaseId, tuple[NodeId, str]] = {}

    def take(self, answers: list[Answer]) -> list[Lease]:
        """Record answers; none comes twice, none to a request that was not made."""
        leases = []
        for answer in answers:
            assert isinstance(answer.ticket, int)
            node, _ = self.waiting.pop(answer.ticket)
            for lease in answer.handout.leases:
                self.holders[lease.id] = (node, self.host(node))
                leases.append(lease)
        return leases

    def host(self, node: NodeId) -> str:
        return f"10.0.0.{node[0] % 3}"

    def post(self, node: NodeId, have: int, **more: object) -> list[Lease]:
        self.asked += 1
        self.waiting[self.asked] = (node, self.now_s)
        announce = Announce(
            node=node, sequence=Sequence(1), have={ROOT: piece_set.encode(have, COUNT)}, key=NodeKey(node),
            **{"state": NodeState.FETCHING, "port": 1, **more},  # type: ignore[arg-type]
        )  # fmt: skip
        return self.take(self.tracker.announce(self.asked, announce, host=self.host(node), now_s=self.now_s))

    @rule(
        target=granted, name=names, have=sets, port=st.sampled_from([0, 1]), slots=st.integers(0, 64),
        state=st.sampled_from([NodeState.FETCHING, NodeState.FETCHING, *NodeState]), is_starving=st.booleans(),
        from_neighbours=st.sampled_from([0, 1 << 20, 1 << 50]),
        received=st.lists(granted, max_size=4), returned=st.lists(granted, max_size=4),
    )  # fmt: skip
    def announce(
        self, name: int, have: int, port: int, slots: int, state: NodeState, is_starving: bool, from_neighbours: int,
        received: list[Lease], returned: list[Lease],
    ) -> MultipleResults[Lease]:  # fmt: skip
        """Say anything."""
        leases = self.post(
            NodeId(bytes([name]) * 16), have, port=port, free_lease_slots=slots, state=state, is_starving=is_starving,
            from_neighbours_bytes=from_neighbours, received=tuple(lease.id for lease in received),
            returned=tuple(lease.id for lease in returned),
        )  # fmt: skip
        return multiple(*leases)

    @rule(lease=granted, is_whole=st.booleans())
    def fetch(self, lease: Lease, is_whole: bool) -> None:
        """Ask for a lease's bytes, and read them or not."""
        _, host = self.holders[lease.id]
        self.registry.begun(host, ROOT, lease.first, lease.count)
        if is_whole:
            self.registry.went_out(host, ROOT, lease.first, lease.count)

    @rule(target=granted, passed_s=st.sampled_from([0.0, 0.01, 0.3, 0.8, 1.1, 2.1, 10.0, 100.0, 1e6]))
    def wait(self, passed_s: float) -> MultipleResults[Lease]:
        """Let the clock go on, or jump."""
        self.now_s += passed_s
        leases = self.take(self.tracker.tick(now_s=self.now_s))
        assert all(self.now_s - since_s < PATIENCE_S for _, since_s in self.waiting.values())
        return multiple(*leases)

    @rule(target=granted, holder=names, taker=names, port=st.sampled_from([0, 1]), slots=st.integers(1, 64))
    def take_over(self, holder: int, taker: int, port: int, slots: int) -> MultipleResults[Lease]:
        """Hold leases and fetch none, until another starves and is given what is idle."""
        leases = self.post(NodeId(bytes([holder]) * 16), 0, port=port, free_lease_slots=slots)
        for passed_s in (0.8, 1.1):
            self.now_s += passed_s
            leases += self.take(self.tracker.tick(now_s=self.now_s))
            leases += self.post(NodeId(bytes([taker]) * 16), 0, free_lease_slots=slots, is_starving=True)
        return multiple(*leases)

    @rule(name=names)
    def hang_up(self, name: int) -> None:
        """Go away while waiting for an answer."""
        for ticket, (node, _) in list(self.waiting.items()):
            if node[0] == name:
                self.tracker.withdraw(ticket)
                del self.waiting[ticket]

    def leases(self) -> Iterator[OpenLease]:
        for node in self.registry.nodes.values():
            for lease in node.leases.values():
                assert lease.node == node.id
                yield lease

    @invariant()
    def no_piece_is_leased_twice(self) -> None:
        """Holds of what is awaited, and the books agree with it."""
        state = self.registry.torrents[ROOT]
        leased = 0
        for lease in self.leases():
            assert not lease.awaited & leased
            leased |= lease.awaited
        assert leased == state.leased
        assert not state.unbegun & ~leased
        assert not state.idle & ~leased
        assert [lease.id for lease in self.registry.book.awaiting(ROOT)] == sorted(
            each.id for each in self.leases() if each.awaited
        )
        assert self.registry.open_leases == sum(lease.is_in_pipe for lease in self.leases())

    @invariant()
    def every_lease_ends(self) -> None:
        """Holds whatever is said of it."""
        assert all(lease.expires_s <= lease.ends_s <= lease.granted_s + 120.0 for lease in self.leases())

    @invariant()
    def who_has_credit_is_known_and_all_others_are_strangers(self) -> None:
        """Holds for nodes and for their addresses."""
        nodes = self.registry.nodes.values()
        assert set(self.registry.standing.strangers) == {node.id for node in nodes if node.credit <= 0}
        known = [node.host for node in nodes if node.credit > 0]
        assert dict(self.registry.standing.known_at) == {host: known.count(host) for host in set(known)}

    def teardown(self) -> None:
        """See that one honest node gets every piece, whatever was before, though nobody brings it one."""
        have, began_s = 0, self.now_s
        received: tuple[LeaseId, ...] = ()
        while have != EVERYTHING:
            assert self.now_s - began_s < 60.0, "a piece is lost"
            is_starving = self.now_s - began_s > 1.0
            leases = self.post(HONEST, have, free_lease_slots=2, is_starving=is_starving, received=received)
            received = tuple(lease.id for lease in leases if self.holders[lease.id][0] == HONEST)
            for lease in leases:
                if lease.id in received:
                    if lease.origin == 0:
                        self.registry.begun(self.host(HONEST), ROOT, lease.first, lease.count)
                        self.registry.went_out(self.host(HONEST), ROOT, lease.first, lease.count)
                    have |= piece_set.span(lease.first, lease.count)
            self.now_s += 0.3
            for lease in self.take(self.tracker.tick(now_s=self.now_s)):
                if self.holders[lease.id][0] == HONEST:
                    have |= piece_set.span(lease.first, lease.count)


Leases.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLeases = Leases.TestCase
