"""Which ranges are given up, and which origins are passed over: told what came and when."""

from __future__ import annotations

from random import Random

from leecher.policy.node_policy import Policy, Wanted
from leecher.policy.requests import AbortRequest, FetchRequest
from leecher.policy.slowness import STEP_BYTES, Slowness
from swarmboot.ids import InfoHash, LeaseId, PieceIndex
from swarmboot.wire.announce import Handout, Lease

SEEDER, MIRROR = "https://seeder", "https://mirror"
PATIENCE_S = 6.0
FAST = 10 << 20
"""A range whose rate is 10 MiB/s when it takes a second."""


def under_way(*, size_bytes: int = 0, at_s: float = 0.0, mirror_is_known: bool = False) -> Slowness:
    """Return the state after a second's range from the seeder, if told so, and with range 2 begun at the mirror."""
    slowness = Slowness()
    if mirror_is_known:
        slowness.began(1, SEEDER, now_s=at_s - 1.0)
        slowness.ended(1, size_bytes=FAST, now_s=at_s)
    slowness.began(2, MIRROR, now_s=at_s)
    slowness.progressed(2, size_bytes, now_s=at_s)
    return slowness


def test_a_run_of_which_nothing_comes_is_given_up_after_the_nodes_patience() -> None:
    slowness = under_way()
    assert slowness.given_up(now_s=PATIENCE_S - 0.1, patience_s=PATIENCE_S) == []
    assert slowness.given_up(now_s=PATIENCE_S, patience_s=PATIENCE_S) == [2]


def test_a_run_that_moves_is_waited_for() -> None:
    slowness = under_way()
    for second in range(1, 60):
        slowness.progressed(2, second * STEP_BYTES, now_s=float(second))
        assert slowness.given_up(now_s=float(second), patience_s=PATIENCE_S) == []


def test_a_run_much_slower_than_another_origin_was_is_given_up_early() -> None:
    slowness = under_way(mirror_is_known=True)
    slowness.progressed(2, 4096, now_s=1.9)
    assert slowness.given_up(now_s=1.9, patience_s=PATIENCE_S) == []
    assert slowness.given_up(now_s=2.1, patience_s=PATIENCE_S) == [2]


def test_an_origin_a_few_times_slower_than_another_is_waited_for() -> None:
    slowness = under_way(mirror_is_known=True)
    for second in range(1, 60):
        slowness.progressed(2, second * FAST // 6, now_s=float(second))
        assert slowness.given_up(now_s=float(second), patience_s=PATIENCE_S) == []


def test_how_fast_another_origin_was_a_minute_ago_does_not_count() -> None:
    slowness = under_way(mirror_is_known=True)
    slowness.ended(2, size_bytes=0, now_s=1.0)
    slowness.began(3, MIRROR, now_s=60.0)
    slowness.progressed(3, 4096, now_s=64.0)
    assert slowness.given_up(now_s=64.0, patience_s=PATIENCE_S) == []


def test_an_origin_that_was_given_up_has_twice_as_long_the_next_time() -> None:
    slowness = under_way()
    assert slowness.given_up(now_s=PATIENCE_S, patience_s=PATIENCE_S) == [2]
    slowness.ended(2, size_bytes=0, now_s=PATIENCE_S)
    slowness.began(3, MIRROR, now_s=10.0)
    slowness.progressed(3, 0, now_s=10.0)
    assert slowness.given_up(now_s=10.0 + 1.9 * PATIENCE_S, patience_s=PATIENCE_S) == []
    assert slowness.given_up(now_s=10.0 + 2.0 * PATIENCE_S, patience_s=PATIENCE_S) == [3]


def test_a_slow_origin_is_passed_over_for_a_while() -> None:
    slowness = under_way()
    slowness.given_up(now_s=PATIENCE_S, patience_s=PATIENCE_S)
    assert slowness.choose(MIRROR, (SEEDER, MIRROR), now_s=PATIENCE_S) == SEEDER
    assert slowness.choose(MIRROR, (MIRROR,), now_s=PATIENCE_S) == MIRROR
    assert slowness.choose(MIRROR, (SEEDER, MIRROR), now_s=PATIENCE_S + 60.0) == MIRROR


def test_the_policy_gives_a_slow_lease_back_and_takes_the_next_from_elsewhere() -> None:
    root = InfoHash(b"r" * 32)
    policy = Policy({root: Wanted(root, 8, 1 << 16)}, origin=SEEDER, now_s=0.0, random=Random(1))
    policy.requests(now_s=0.0)
    leases = tuple(Lease(LeaseId(number), root, PieceIndex(number), 1, 1) for number in range(1, 3))
    policy.handout_arrived(Handout(60.0, leases=leases[:1], origins=("", MIRROR)), now_s=0.0)
    (fetch,) = [each for each in policy.requests(now_s=0.0) if isinstance(each, FetchRequest)]
    policy.range_progressed(fetch.piece_range.number, 0, now_s=0.0)
    assert policy.next_wake_s(now_s=5.0) <= 6.0
    assert AbortRequest(fetch.piece_range) in policy.requests(now_s=10.0)
    policy.range_ended(fetch.piece_range.number, is_whole=False, now_s=10.1)
    policy.handout_arrived(Handout(60.0, leases=leases[1:], origins=("", MIRROR)), now_s=11.0)
    requests = policy.requests(now_s=11.0)
    assert [each.piece_range.origin for each in requests if isinstance(each, FetchRequest)] == [SEEDER]


def test_a_node_is_stuck_when_no_piece_comes_although_it_is_leased_some() -> None:
    root = InfoHash(b"r" * 32)
    policy = Policy({root: Wanted(root, 8, 1 << 16)}, origin=SEEDER, now_s=0.0, random=Random(1))
    for second in range(10):
        lease = Lease(LeaseId(second + 1), root, PieceIndex(0), 1, 0)
        policy.handout_arrived(Handout(1.0, leases=(lease,), origins=("",)), now_s=float(second))
    assert policy.is_stuck(now_s=10.0)
    policy.piece_arrived(root, 0, now_s=10.0)
    assert not policy.is_stuck(now_s=10.1)
