"""Nodes that have shown nothing: how many are remembered, how long, what they slow down, and what they are told."""

from __future__ import annotations

from random import Random

import pytest

from seeder.policy import granting, intervals, introductions, supply
from seeder.policy.disclosure import TOLD_MAX, TOLD_S
from seeder.policy.facts import registry
from seeder.policy.facts.node import Node
from seeder.policy.facts.registry import Registry
from seeder.policy.limits import Limits
from seeder.policy.tracker import Tracker
from swarmboot.ids import NodeId, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.announce import Announce, NodeState
from tests.support.registry import LIMITS, PIECE, ROOT, SLOW, build_registry, observe


def forge(found: Registry, number: int, *, now_s: float = 0.0, host: str = "10.9.9.9") -> None:
    """Have a node announce that does not exist."""
    announce = Announce(
        NodeId(b"forged".ljust(8) + number.to_bytes(8, "big")), Sequence(1), NodeState.FETCHING, port=6881,
        have={ROOT: piece_set.encode(0, 64)},
    )  # fmt: skip
    found.observe(announce, host=host, now_s=now_s)


def fetch(found: Registry, node: Node, *, now_s: float = 0.0) -> None:
    """Have a node fetch a lease."""
    (lease,) = granting.lease_pieces(found, node, slots=1, now_s=now_s, limits=LIMITS)
    found.begun(node.host, ROOT, lease.first, lease.count)
    found.went_out(node.host, ROOT, lease.first, lease.count)


@pytest.mark.parametrize("limits", [LIMITS, SLOW])
def test_forged_nodes_are_forgotten_after_a_time_that_does_not_grow_with_their_number(limits: Limits) -> None:
    silences_s = []
    for count in (1000, 10_000):
        found = build_registry()
        for number in range(count):
            forge(found, number)
        found.expire(now_s=0.1, silent_s=1e9)
        silences_s.append(intervals.silence_s(found, limits))
        found.expire(now_s=silences_s[-1] + 0.1, silent_s=intervals.silence_s(found, limits))
        assert not found.nodes
    assert silences_s[1] < max(1.1 * silences_s[0], 20.0)


def test_so_many_strangers_are_remembered_and_the_longest_silent_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "STRANGERS_MAX", 100)
    found = build_registry()
    honest, known = observe(found, 1), observe(found, 2)
    fetch(found, known)
    for number in range(1000):
        forge(found, number, now_s=0.001 * number)
    observe(found, 1, now_s=1.0)
    found.expire(now_s=1.0, silent_s=1e9)
    assert len(found.standing.strangers) == 100
    assert {honest.id, known.id} <= found.nodes.keys()


def test_forged_nodes_make_nobody_wait_before_it_may_complain() -> None:
    found = build_registry()
    honest = observe(found, 1)
    for number in range(10_000):
        forge(found, number)
    assert supply.patience_s(found, honest, LIMITS) == LIMITS.settle_s
    assert supply.patience_s(found, honest, SLOW) < 2 * 1.5 * 64 * PIECE / SLOW.uplink_bytes_per_s


def test_a_node_that_starves_is_given_neighbours_that_have_fetched_leases_however_many_false_ones_it_has() -> None:
    found = build_registry()
    honest, other = observe(found, 1), observe(found, 2)
    fetch(found, other)
    for number in range(100):
        forge(found, number)
    for node in list(found.nodes.values()):
        if node not in (honest, other):
            found.link(honest, node)
            found.link(other, node)
    assert introductions.choose_neighbours(found, honest, limits=LIMITS, random=Random(1)) == ()
    observe(found, 1, is_starving=True)
    assert other in introductions.choose_neighbours(found, honest, limits=LIMITS, random=Random(1))


def ask(tracker: Tracker, number: int, *, host: str, now_s: float) -> set[str]:
    announce = Announce(
        NodeId(number.to_bytes(16, "little")), Sequence(1), NodeState.FETCHING, port=6881,
        have={ROOT: piece_set.encode(0, 64)}, is_starving=True,
    )  # fmt: skip
    answers = tracker.announce(number, announce, host=host, now_s=now_s)
    return {each.host for answer in answers for each in answer.handout.neighbours}


def build_tracker() -> Tracker:
    found = build_registry()
    for name in range(1, 201):
        observe(found, name)
    return Tracker(found, LIMITS, random=Random(1))


def test_an_address_is_told_of_so_many_others_however_many_ids_it_asks_under() -> None:
    tracker, told = build_tracker(), set[str]()
    for number in range(2000):
        told |= ask(tracker, 1000 + number % 500, host="10.9.9.9", now_s=0.01 * number)
    assert len(told - {"10.9.9.9"}) == TOLD_MAX
    for name in range(1, 201):
        observe(tracker.registry, name, now_s=TOLD_S + 21.0)
    for number in range(100):
        told |= ask(tracker, 1000 + number, host="10.9.9.9", now_s=TOLD_S + 21.0 + 0.01 * number)
    assert TOLD_MAX < len(told - {"10.9.9.9"}) <= 2 * TOLD_MAX


def test_a_host_with_a_whole_network_of_ipv6_addresses_is_told_of_as_many() -> None:
    tracker, told = build_tracker(), set[str]()
    for number in range(2000):
        told |= ask(tracker, 1000 + number, host=f"2001:db8:9:9::{number + 1:x}", now_s=0.01 * number)
    assert len({host for host in told if not host.startswith("2001:")}) == TOLD_MAX


def test_nodes_of_ones_own_ipv6_network_are_no_secret() -> None:
    tracker, told = Tracker(build_registry(), LIMITS, random=Random(1)), set[str]()
    for number in range(300):
        told |= ask(tracker, 1 + number, host=f"2001:db8:9:9::{number + 1:x}", now_s=0.01 * number)
    assert len(told) > 2 * TOLD_MAX


def test_a_node_that_fetches_may_be_told_of_more() -> None:
    tracker, told = build_tracker(), set[str]()
    ask(tracker, 1000, host="10.9.9.9", now_s=0.0)
    fetch(tracker.registry, tracker.registry.nodes[NodeId((1000).to_bytes(16, "little"))])
    for number in range(500):
        told |= ask(tracker, 1000 + number % 50, host="10.9.9.9", now_s=0.01 * number)
    assert TOLD_MAX < len(told - {"10.9.9.9"}) <= 2 * TOLD_MAX


def test_a_node_may_not_have_more_than_a_few_leases_that_it_does_not_fetch() -> None:
    found = build_registry()
    observe(found, 2)
    burner = observe(found, 1, port=0)
    granted = granting.lease_pieces(found, burner, slots=64, now_s=0.0, limits=LIMITS)
    observe(found, 1, port=0, received=tuple(lease.id for lease in granted))
    more = granting.lease_pieces(found, burner, slots=64, now_s=0.0, limits=LIMITS)
    assert len(granted) + len(more) <= 6


def test_what_a_node_that_lets_leases_lapse_says_it_has_does_not_count() -> None:
    found = build_registry()
    fetch(found, observe(found, 2))
    liar = observe(found, 1)
    for now_s in (0.0, 3.0):
        assert granting.lease_pieces(found, liar, slots=4, now_s=now_s, limits=LIMITS)
        found.expire(now_s=now_s + 2.9, silent_s=1e9)
    observe(found, 1, "#" * 64, now_s=6.0)
    assert found.torrent_state(ROOT).held == 0
    assert not found.torrents[ROOT].seeds


def test_what_a_node_has_said_ceases_to_count_with_the_lease_that_it_lets_lapse_too_many() -> None:
    found = build_registry()
    fetch(found, observe(found, 2))
    liar = observe(found, 1, "#" * 32)
    for lapsed in range(1, 5):
        assert bool(found.torrent_state(ROOT).held) == liar.is_believed
        assert granting.lease_pieces(found, liar, slots=1, now_s=10.0 * lapsed, limits=LIMITS)
        found.expire(now_s=10.0 * lapsed + 5.0, silent_s=1e9)
        assert liar.credit == -lapsed
    assert not liar.is_believed


def test_a_lease_whose_bytes_nobody_asks_for_is_others_after_a_moment() -> None:
    found = build_registry()
    (lease,) = granting.lease_pieces(found, observe(found, 1), slots=1, now_s=0.0, limits=LIMITS)
    found.expire(now_s=0.7, silent_s=1e9)
    assert not found.torrents[ROOT].idle
    found.expire(now_s=0.8, silent_s=1e9)
    assert found.torrents[ROOT].idle == piece_set.span(lease.first, lease.count)
