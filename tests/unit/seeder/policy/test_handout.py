"""Who gets which pieces, and who is believed to need them, decided from facts alone."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.policy import granting, intervals, introductions, supply
from seeder.policy.facts.leases import STALL_S
from seeder.policy.facts.node import Node
from seeder.policy.facts.registry import Registry
from seeder.policy.limits import Limits
from swarmboot.codec import DecodeError
from swarmboot.ids import InfoHash, NodeId, Sequence
from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces
from swarmboot.text.units import GOODPUT
from swarmboot.wire.announce import Announce, NodeState
from tests.support.registry import LIMITS, PIECE, ROOT, SLOW, build_registry, observe


def lease(registry: Registry, node: Node, *, slots: int = 1, now_s: float = 0.0, limits: Limits = LIMITS) -> list[int]:
    """Lease and return the pieces' numbers."""
    leases = granting.lease_pieces(registry, node, slots=slots, now_s=now_s, limits=limits)
    return [index for each in leases for index in range(each.first, each.first + each.count)]


def test_a_piece_is_leased_to_one_node_only() -> None:
    registry = build_registry()
    first, second = observe(registry, 1), observe(registry, 2)
    leased = [*lease(registry, first, slots=2), *lease(registry, second, slots=2)]
    assert len(leased) == len(set(leased)) > 0


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 2)), min_size=1, max_size=60))
def test_no_order_of_asking_leases_a_piece_twice(asks: list[tuple[int, int]]) -> None:
    registry = build_registry()
    leased: list[int] = []
    for name, slots in asks:
        leased += lease(registry, observe(registry, name), slots=slots)
    assert len(leased) == len(set(leased))


def test_leases_shrink_towards_the_end() -> None:
    registry = build_registry()
    for name in range(1, 5):
        observe(registry, name)
    sizes: list[int] = []
    have = set[int]()
    while run := lease(registry, observe(registry, 1, "".join(".#"[index in have] for index in range(64)))):
        sizes.append(len(run))
        have.update(run)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 8
    assert sizes[-1] <= LIMITS.least_pieces
    assert sum(sizes) == 64


def test_a_node_is_leased_only_what_nobody_has() -> None:
    registry = build_registry()
    observe(registry, 1, "#" * 60)
    node = observe(registry, 2)
    observe(registry, 3)
    assert set(lease(registry, node, slots=64)) <= {60, 61, 62, 63}


def test_a_lease_ends_when_its_pieces_are_announced() -> None:
    registry = build_registry()
    node = observe(registry, 1)
    leased = lease(registry, node)
    assert registry.open_leases == 1
    observe(registry, 1, "#" * len(leased))
    assert registry.open_leases == 0
    assert registry.torrents[ROOT].leased == 0


def test_a_dead_nodes_lease_goes_to_another() -> None:
    registry = build_registry()
    leased = lease(registry, observe(registry, 1), slots=64)
    other = observe(registry, 2, now_s=60)
    registry.expire(now_s=60, silent_s=30)
    assert set(lease(registry, other, slots=64, now_s=60)) & set(leased)


def test_a_stalled_lease_goes_to_another() -> None:
    registry = build_registry(count=2)
    stalled, other = observe(registry, 1), observe(registry, 2)
    assert lease(registry, stalled, slots=2) == [0, 1]
    assert lease(registry, other) == []
    registry.expire(now_s=STALL_S + 0.1, silent_s=1e9)
    assert lease(registry, other, slots=2, now_s=STALL_S + 0.1) == [0, 1]


def test_progress_renews_a_lease() -> None:
    registry = build_registry(count=64)
    node = observe(registry, 1)
    leased = lease(registry, node)
    registry.begun(node.host, ROOT, leased[0], len(leased))
    observe(registry, 1, "#", now_s=STALL_S - 0.1)
    registry.expire(now_s=STALL_S + 0.1, silent_s=1e9)
    assert registry.open_leases == 1


def test_a_newcomer_among_booted_neighbours_gets_no_lease() -> None:
    registry = build_registry()
    for name in range(1, 9):
        observe(registry, name, "#" * 64, state=NodeState.COMPLETE)
    newcomer = observe(registry, 9)
    assert lease(registry, newcomer, slots=2) == []
    assert supply.is_supplied(registry, newcomer, now_s=0.0, limits=LIMITS)


def test_a_newcomer_whose_neighbours_send_nothing_gets_leases() -> None:
    registry = build_registry()
    for name in range(1, 9):
        observe(registry, name, "#" * 64, state=NodeState.COMPLETE)
    newcomer = observe(registry, 9)
    observe(registry, 9, now_s=2.0)
    assert lease(registry, newcomer, slots=2, now_s=2.0)


def test_a_newcomer_whose_neighbours_are_fast_is_left_to_them() -> None:
    registry = build_registry()
    observe(registry, 1, "#" * 64, state=NodeState.COMPLETE)
    newcomer = observe(registry, 9)
    observe(registry, 9, "#" * 32, now_s=2.0, from_neighbours=24_000_000)
    assert lease(registry, newcomer, slots=2, now_s=2.0) == []


def crowd_around_one_seed(registry: Registry, *, each_gets_bytes: int) -> list[Node]:
    """Ten newcomers and one node that has everything, four seconds after they came."""
    observe(registry, 1, "#" * 64, state=NodeState.COMPLETE)
    for name in range(2, 12):
        observe(registry, name)
    return [observe(registry, name, now_s=4.0, from_neighbours=each_gets_bytes) for name in range(2, 12)]


def test_a_crowd_around_one_seed_is_left_to_it_at_first() -> None:
    registry = build_registry()
    observe(registry, 1, "#" * 64, state=NodeState.COMPLETE)
    crowd = [observe(registry, name) for name in range(2, 12)]
    assert [index for node in crowd for index in lease(registry, node)] == []


@pytest.mark.parametrize(("share", "is_helped"), [(0.8, True), (1.2, False)])
def test_a_crowd_whose_seed_sends_less_than_the_server_would_is_helped_by_it(share: float, is_helped: bool) -> None:
    registry = build_registry()
    fair_bytes_per_s = LIMITS.uplink_bytes_per_s * GOODPUT / 10
    crowd = crowd_around_one_seed(registry, each_gets_bytes=int(4.0 * share * fair_bytes_per_s))
    leased = [index for node in crowd for index in lease(registry, node, now_s=4.0)]
    assert bool(leased) == is_helped
    assert len(leased) == len(set(leased))


def test_a_starving_node_is_leased_what_others_hold() -> None:
    registry = build_registry(count=4)
    observe(registry, 1, "####", state=NodeState.COMPLETE)
    assert lease(registry, observe(registry, 2, "##", is_starving=True), slots=2) == [2, 3]


def test_a_node_that_loses_pieces_is_believed() -> None:
    registry = build_registry(count=4)
    observe(registry, 1, "####")
    node = observe(registry, 1, "##")
    assert set(lease(registry, node, slots=4)) == {2, 3}


def test_so_many_leases_are_out_that_a_piece_takes_a_fraction_of_a_second() -> None:
    registry = build_registry(count=1024)
    limits = Limits(uplink_bytes_per_s=12_500_000)
    nodes = [observe(registry, name) for name in range(1, 65)]
    for node in nodes:
        lease(registry, node, slots=2, limits=limits)
    assert registry.open_leases == granting.most_open_leases(registry, limits, piece_bytes=PIECE) == 38


def test_a_slow_uplink_has_several_leases_out_none_of_which_takes_long() -> None:
    registry = build_registry(count=1024)
    limits = Limits(uplink_bytes_per_s=625_000)
    assert len(lease(registry, observe(registry, 1), limits=limits)) == limits.least_pieces
    for name in range(2, 65):
        lease(registry, observe(registry, name), slots=2, limits=limits)
    assert registry.open_leases == limits.least_open


def test_announces_stay_within_the_seeders_budget() -> None:
    registry = build_registry()
    for name in range(1, 6001):
        node = observe(registry, name)
    assert intervals.announce_interval_s(registry, node, Limits(uplink_bytes_per_s=125e6)) == pytest.approx(4.0)


def test_answers_to_announces_leave_the_uplink_to_the_image_but_a_node_with_leases_is_heard_of() -> None:
    registry = build_registry()
    nodes = [observe(registry, name) for name in range(1, 65)]
    interval_s = intervals.announce_interval_s(registry, nodes[0], SLOW)
    assert 64 * 400 / interval_s == pytest.approx(SLOW.announce_share * SLOW.uplink_bytes_per_s)
    assert intervals.silence_s(registry, SLOW) > 2 * interval_s
    assert intervals.announce_interval_s(registry, nodes[0], LIMITS) == LIMITS.interval_s
    assert granting.lease_pieces(registry, nodes[0], slots=1, now_s=0.0, limits=SLOW)
    assert intervals.announce_interval_s(registry, nodes[0], SLOW) == SLOW.interval_s < STALL_S


def test_what_neighbours_send_is_measured_over_a_time_in_which_pieces_come() -> None:
    registry = build_registry()
    rates = []
    for now_s, from_neighbours in ((0.0, 0), (4.0, 8 * PIECE), (5.0, 8 * PIECE), (9.0, 9 * PIECE), (9.5, 12 * PIECE)):
        announce = Announce(
            NodeId(b"n" * 16), Sequence(1), NodeState.FETCHING, port=1, from_neighbours_bytes=from_neighbours
        )
        rates.append(registry.observe(announce, host="", now_s=now_s, measure_s=4.0).rate_from_neighbours / PIECE)
    assert rates == pytest.approx([0.0, 2.0, 2.0, 0.2, 3.0])


def test_a_lease_lasts_while_a_rack_that_starts_fills_the_uplink() -> None:
    registry = build_registry()
    slow = Limits(uplink_bytes_per_s=312_500)
    granted = granting.lease_pieces(registry, observe(registry, 1), slots=1, now_s=0.0, limits=slow)
    registry.begun("10.0.0.1", ROOT, granted[0].first, granted[0].count)
    alone_s = granted[0].count * PIECE / (slow.uplink_bytes_per_s * GOODPUT)
    registry.expire(now_s=slow.least_open * alone_s, silent_s=1e9)
    assert registry.open_leases == 1
    registry.expire(now_s=3 * slow.least_open * alone_s + 0.1, silent_s=1e9)
    assert registry.open_leases == 0


def test_an_unknown_torrent_is_refused() -> None:
    registry = build_registry()
    announce = Announce(NodeId(b"n" * 16), Sequence(1), NodeState.FETCHING, port=1, have={InfoHash(b"x" * 32): b""})
    with pytest.raises(DecodeError, match="not published"):
        registry.observe(announce, host="10.0.0.1", now_s=0.0)


def test_patience_is_what_plain_https_would_take_for_a_piece_each() -> None:
    registry = build_registry()
    nodes = [observe(registry, name) for name in range(1, 65)]
    slow = Limits(uplink_bytes_per_s=625e3)
    patience_s = supply.patience_s(registry, nodes[0], slow)
    assert patience_s == pytest.approx(1.5 * 64 * PIECE / (625e3 * GOODPUT))
    assert supply.patience_s(registry, nodes[0], Limits(uplink_bytes_per_s=125e6)) == LIMITS.settle_s
    assert not supply.is_neglected(registry, nodes[0], now_s=patience_s - 0.1, limits=slow)
    assert supply.is_neglected(registry, nodes[0], now_s=patience_s + 0.1, limits=slow)


def test_a_lease_whose_bytes_are_in_frees_its_place_and_stays_leased() -> None:
    registry = build_registry()
    node = observe(registry, 1)
    (granted,) = granting.lease_pieces(registry, node, slots=1, now_s=0.0, limits=LIMITS)
    assert registry.open_leases == 1
    observe(registry, 1, received=(granted.id,))
    observe(registry, 1, received=(granted.id,))
    assert registry.open_leases == 0
    assert registry.torrents[ROOT].leased == piece_set.span(granted.first, granted.count)
    observe(registry, 1, "#" * granted.count)
    assert registry.open_leases == 0
    assert registry.torrents[ROOT].leased == 0


CHANGES = st.tuples(
    st.integers(1, 4),
    st.sampled_from([*NodeState, None]),
    st.sampled_from(["", "#", ".#", "##..", "....####", "########"]),
)


@given(st.lists(CHANGES, max_size=40), st.booleans())
def test_what_the_swarm_holds_is_what_its_nodes_have(
    changes: list[tuple[int, NodeState | None, str]], is_asked_often: bool
) -> None:
    registry = build_registry(count=8)
    for step, (name, state, have) in enumerate(changes):
        if state is None:
            registry.forget(NodeId(name.to_bytes(16, "big")))
        else:
            observe(registry, name, have, state=state, now_s=float(step), rack=f"rack{name % 2}")
        if is_asked_often or step == len(changes) - 1:
            nodes = registry.nodes.values()
            fetching = [node for node in nodes if node.state is NodeState.FETCHING]
            assert registry.torrent_state(ROOT).held == union(node.have[ROOT] for node in nodes)
            assert registry.fetched(ROOT) == union(node.have[ROOT] for node in fetching)


def union(sets: Iterable[Pieces]) -> Pieces:
    held = 0
    for each in sets:
        held |= each
    return held


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.booleans()), max_size=40))
def test_links_within_a_rack_are_counted_as_they_come_and_go(changes: list[tuple[int, int, bool]]) -> None:
    registry = build_registry(count=8)
    for one, other, is_leaving in changes:
        ends = [observe(registry, name, "#", rack=f"rack{name % 2}") for name in {one, other}]
        if is_leaving:
            registry.forget(ends[0].id)
        elif len(ends) == 2:
            registry.link(*ends)
        for node in registry.nodes.values():
            assert node.near_links == sum(registry.nodes[link].rack == node.rack for link in node.links)


def test_a_node_that_is_starting_is_leased_pieces_and_introduced_to_nobody() -> None:
    registry = build_registry()
    starting, other = observe(registry, 1, port=0), observe(registry, 2)
    assert granting.lease_pieces(registry, starting, slots=2, now_s=0.0, limits=LIMITS)
    assert introductions.choose_neighbours(registry, other, limits=LIMITS, random=Random(1)) == ()
    observe(registry, 1, now_s=0.5)
    assert introductions.choose_neighbours(registry, other, limits=LIMITS, random=Random(1)) == (starting,)


def test_what_a_starting_node_has_received_stays_leased_until_it_can_show_it() -> None:
    registry = build_registry()
    starting = observe(registry, 1, port=0)
    (lease,) = granting.lease_pieces(registry, starting, slots=1, now_s=0.0, limits=LIMITS)
    registry.begun(starting.host, ROOT, lease.first, lease.count)
    registry.went_out(starting.host, ROOT, lease.first, lease.count)
    observe(registry, 1, port=0, received=(lease.id,), now_s=0.5)
    registry.expire(now_s=3 * STALL_S, silent_s=100.0)
    assert lease.id in starting.leases
    observe(registry, 1, now_s=3 * STALL_S)
    registry.expire(now_s=4.5 * STALL_S, silent_s=100.0)
    assert not starting.leases


def test_what_a_starting_node_does_not_receive_is_leased_to_others() -> None:
    registry = build_registry()
    starting = observe(registry, 1, port=0)
    assert granting.lease_pieces(registry, starting, slots=1, now_s=0.0, limits=LIMITS)
    registry.expire(now_s=50 * STALL_S, silent_s=1000.0)
    assert not starting.leases


def test_a_newcomers_patience_counts_from_when_it_can_be_dialled() -> None:
    registry = build_registry()
    observe(registry, 1, "#" * 64, state=NodeState.COMPLETE)
    node = observe(registry, 2, port=0)
    assert not supply.is_neglected(registry, node, now_s=60.0, limits=LIMITS)
    observe(registry, 2, now_s=60.0)
    assert not supply.is_neglected(registry, node, now_s=60.5, limits=LIMITS)
    assert supply.is_neglected(registry, node, now_s=70.0, limits=LIMITS)


def test_a_newcomer_that_gets_something_is_given_more_time_than_one_that_gets_nothing() -> None:
    registry = build_registry()
    observe(registry, 1, "#" * 64, state=NodeState.COMPLETE)
    idle, slow = observe(registry, 2), observe(registry, 3)
    observe(registry, 3, from_neighbours=1000, now_s=1.0)
    for node, neglected_s in ((idle, 1.5), (slow, 3.5)):
        assert not supply.is_neglected(registry, node, now_s=neglected_s - 0.6, limits=LIMITS)
        assert supply.is_neglected(registry, node, now_s=neglected_s, limits=LIMITS)


@pytest.mark.parametrize(
    ("neighbours_bytes_per_s", "origin_bytes_per_s", "is_neglected"),
    [
        (250_000, 220_000, False),  # a link of 4 Mbit/s is full, and half of it is the neighbours'
        (250_000, 0, True),  # nothing shows that the link takes no more
        (50_000, 420_000, True),  # neighbours send next to nothing, the origin fills the link
        (0, 470_000, True),
        (250_000, 9_000_000, True),  # the link takes the fair share
    ],
)
def test_a_node_whose_own_link_is_slow_is_not_sent_again_what_neighbours_are_sending(
    neighbours_bytes_per_s: int, origin_bytes_per_s: int, is_neglected: bool
) -> None:
    registry = build_registry()
    observe(registry, 1, "#" * 64, state=NodeState.COMPLETE)
    for now_s in range(9):
        node = observe(
            registry, 2, now_s=float(now_s), from_neighbours=now_s * neighbours_bytes_per_s,
            from_origin=now_s * origin_bytes_per_s,
        )  # fmt: skip
    assert supply.is_neglected(registry, node, now_s=8.0, limits=LIMITS) == is_neglected
    assert supply.is_supplied(registry, node, now_s=8.0, limits=LIMITS) != is_neglected


def test_a_slow_link_is_no_excuse_for_neighbours_that_fall_silent() -> None:
    registry = build_registry()
    observe(registry, 1, "#" * 64, state=NodeState.COMPLETE)
    for now_s in range(9):
        observe(registry, 2, now_s=float(now_s), from_neighbours=now_s * 250_000, from_origin=now_s * 220_000)
    for now_s in range(9, 12):
        node = observe(registry, 2, now_s=float(now_s), from_neighbours=8 * 250_000, from_origin=8 * 220_000)
    assert supply.is_neglected(registry, node, now_s=11.0, limits=LIMITS)
