"""What a node does next: the leecher's policy, fact by fact."""

from __future__ import annotations

from random import Random
from typing import Any

from leecher.policy.node_policy import Policy, PolicyLimits, Wanted
from leecher.policy.requests import AnnounceRequest, ConnectRequest, FetchRequest, Request
from swarmboot.ids import InfoHash, LeaseId, PieceIndex
from swarmboot.wire.announce import Handout, Lease, Neighbour, NodeState

ROOT = InfoHash(b"r" * 32)
LIMITS = PolicyLimits()


def build_policy(*, count: int = 8) -> Policy:
    return Policy({ROOT: Wanted(ROOT, count, 1 << 16)}, origin="https://seeder", now_s=0.0, random=Random(1))


def announce_of(requests: list[Request]) -> AnnounceRequest | None:
    return next((request for request in requests if isinstance(request, AnnounceRequest)), None)


def fetches_of(requests: list[Request]) -> list[FetchRequest]:
    return [request for request in requests if isinstance(request, FetchRequest)]


def handout(*leases: Lease, after_s: float = 1.0, origins: tuple[str, ...] = ("",)) -> Handout:
    return Handout(announce_after_s=after_s, leases=leases, origins=origins)


def lease(name: int, first: int, count: int = 2, origin: int = 0) -> Lease:
    return Lease(LeaseId(name), ROOT, PieceIndex(first), count, origin)


def give_pieces(policy: Policy, first: int, count: int, *, now_s: float) -> None:
    for index in range(first, first + count):
        policy.piece_arrived(ROOT, index, now_s=now_s)


def test_a_node_announces_at_once_and_asks_for_two_leases() -> None:
    announce = announce_of(build_policy().requests(now_s=0.0))
    assert announce == AnnounceRequest(NodeState.FETCHING, 2, (), (), is_starving=False)


def test_a_node_that_was_given_a_lease_asks_for_another_at_once() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.handout_arrived(handout(lease(1, 0)), now_s=0.1)
    requests = policy.requests(now_s=0.1)
    assert [fetch.piece_range.origin for fetch in fetches_of(requests)] == ["https://seeder"]
    announce = announce_of(requests)
    assert announce is not None
    assert announce.free_lease_slots == 1


def test_a_node_without_leases_waits_for_its_interval() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.handout_arrived(handout(after_s=0.8), now_s=0.1)
    assert policy.requests(now_s=0.5) == []
    assert policy.next_wake_s(now_s=0.5) == 0.9
    assert announce_of(policy.requests(now_s=0.9)) is not None


def test_a_finished_lease_is_told_even_while_an_announce_waits() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.handout_arrived(handout(lease(1, 0)), now_s=0.1)
    policy.requests(now_s=0.1)
    give_pieces(policy, 0, 2, now_s=0.2)
    policy.range_ended(1, is_whole=True, now_s=0.2)
    announce = announce_of(policy.requests(now_s=0.2))
    assert announce is not None
    assert announce.free_lease_slots == 2


def test_a_failed_lease_is_given_back_after_a_pause() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.handout_arrived(handout(lease(7, 0), lease(8, 2)), now_s=0.1)
    policy.requests(now_s=0.1)
    policy.range_ended(1, is_whole=False, now_s=0.2)
    assert announce_of(policy.requests(now_s=0.2)) is None
    later = announce_of(policy.requests(now_s=0.2 + LIMITS.backoff_s))
    assert later is not None
    assert later.returned == (7,)


def test_a_lease_beyond_the_torrent_is_given_back() -> None:
    policy = build_policy(count=8)
    policy.requests(now_s=0.0)
    policy.handout_arrived(handout(lease(9, 7, count=5)), now_s=0.1)
    requests = policy.requests(now_s=0.1)
    announce = announce_of(requests)
    assert fetches_of(requests) == []
    assert announce is not None
    assert announce.returned == (9,)


def test_a_lease_names_its_origin() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.handout_arrived(handout(lease(1, 0, origin=1), origins=("", "https://mirror")), now_s=0.1)
    assert [fetch.piece_range.origin for fetch in fetches_of(policy.requests(now_s=0.1))] == ["https://mirror"]


def test_neighbours_are_connected_to() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.handout_arrived(Handout(1.0, neighbours=(Neighbour("10.0.0.2", 6881),)), now_s=0.1)
    assert ConnectRequest((Neighbour("10.0.0.2", 6881),)) in policy.requests(now_s=0.1)


def test_a_node_that_gets_nothing_says_that_it_starves() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.handout_arrived(handout(after_s=60.0), now_s=0.0)
    announce = announce_of(policy.requests(now_s=LIMITS.starve_s))
    assert announce is not None
    assert announce.is_starving


def test_a_node_that_nobody_helps_rescues_itself() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.handout_arrived(handout(after_s=60.0), now_s=0.0)
    policy.requests(now_s=LIMITS.starve_s)
    policy.handout_arrived(handout(after_s=60.0), now_s=LIMITS.starve_s)
    fetches = fetches_of(policy.requests(now_s=1.5 * LIMITS.rescue_s))
    fetched = [
        index
        for fetch in fetches
        for index in range(fetch.piece_range.first, fetch.piece_range.first + fetch.piece_range.count)
    ]
    assert len(fetches) == policy.rescues == LIMITS.lease_slots
    assert len(fetched) == len(set(fetched))
    assert all(fetch.piece_range.lease is None for fetch in fetches)


def test_a_node_with_a_silent_seeder_goes_to_the_origin_by_itself() -> None:
    policy = build_policy()
    for number in range(LIMITS.failures_alone):
        policy.requests(now_s=number * 1.2)
        policy.announce_failed(now_s=number * 1.2)
    assert policy.is_alone
    assert fetches_of(policy.requests(now_s=1.3))


def test_a_failing_rescue_backs_off() -> None:
    policy = build_policy()
    for number in range(LIMITS.failures_alone):
        policy.requests(now_s=number * 1.2)
        policy.announce_failed(now_s=number * 1.2)
    for fetch in fetches_of(policy.requests(now_s=1.3)):
        policy.range_ended(fetch.piece_range.number, is_whole=False, now_s=1.3)
    assert fetches_of(policy.requests(now_s=1.35)) == []
    assert fetches_of(policy.requests(now_s=30.0))


def test_announces_back_off_while_the_seeder_is_silent() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    waits, now_s = [], 0.0
    for _ in range(6):
        policy.announce_failed(now_s=now_s)
        failed_s = now_s
        requests: list[Any] = []
        while not any(isinstance(request, AnnounceRequest) for request in requests):
            now_s = policy.next_wake_s(now_s=now_s)
            requests = policy.requests(now_s=now_s)
        waits.append(now_s - failed_s)
    assert waits[0] < waits[-1] <= LIMITS.backoff_max_s


def test_a_complete_node_says_so_at_once_and_asks_for_nothing() -> None:
    policy = build_policy(count=2)
    policy.requests(now_s=0.0)
    give_pieces(policy, 0, 2, now_s=0.5)
    assert policy.is_complete
    assert announce_of(policy.requests(now_s=0.5)) == AnnounceRequest(NodeState.COMPLETE, 0, (), (), is_starving=False)


def test_a_node_that_has_everything_does_not_starve() -> None:
    policy = build_policy(count=2)
    give_pieces(policy, 0, 2, now_s=0.0)
    policy.requests(now_s=0.0)
    policy.handout_arrived(handout(after_s=5.0), now_s=0.0)
    assert policy.requests(now_s=4.9) == []


def test_a_node_complains_no_sooner_than_its_handout_calls_normal() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.handout_arrived(Handout(announce_after_s=100.0, origins=("",), patience_s=10.0), now_s=0.1)
    assert announce_of(policy.requests(now_s=9.9)) is None
    complaint = announce_of(policy.requests(now_s=10.2))
    assert complaint is not None
    assert complaint.is_starving
    assert policy.rescues == 0


def test_received_leases_are_announced_once() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.handout_arrived(handout(lease(7, 0), lease(8, 2)), now_s=0.1)
    policy.requests(now_s=0.1)
    policy.range_ended(1, is_whole=True, now_s=0.2)
    told = announce_of(policy.requests(now_s=0.2))
    assert told is not None
    assert (told.received, told.free_lease_slots) == ((7,), 1)
    policy.range_ended(2, is_whole=True, now_s=0.3)
    told = announce_of(policy.requests(now_s=0.3))
    assert told is not None
    assert told.received == (8,)


def test_a_node_that_is_still_starting_complains_of_nothing() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.handout_arrived(handout(after_s=1.0), now_s=0.1)
    later_s = 0.1 + 20 * LIMITS.starve_s
    policy.still_starting(has_room=True, now_s=later_s)
    announce = announce_of(policy.requests(now_s=later_s))
    assert announce == AnnounceRequest(NodeState.FETCHING, 2, (), (), is_starving=False)
    assert policy.rescues == 0


def test_a_starting_node_without_room_asks_for_no_lease() -> None:
    policy = build_policy()
    policy.still_starting(has_room=False, now_s=0.0)
    announce = announce_of(policy.requests(now_s=0.0))
    assert announce is not None
    assert announce.free_lease_slots == 0


def test_what_is_being_verified_is_fetched_by_nobody_once_more() -> None:
    policy = build_policy()
    policy.has_in_hand({ROOT: 0b0000_0111}, has_room=True, now_s=0.0)
    for _ in range(LIMITS.failures_alone):
        policy.announce_failed(now_s=0.0)
    (fetch, *_) = fetches_of(policy.requests(now_s=20.0))
    assert fetch.piece_range.first >= 3
    policy.fetch_now(ROOT, PieceIndex(1))
    assert {each.piece_range.first for each in fetches_of(policy.requests(now_s=20.1))} & {0, 1, 2} == set()


def test_a_node_that_verifies_slower_than_it_fetches_asks_for_no_lease_and_for_some_once_it_can() -> None:
    policy = build_policy()
    policy.has_in_hand({ROOT: 0b111}, has_room=False, now_s=0.0)
    announce = announce_of(policy.requests(now_s=0.0))
    assert announce is not None
    assert announce.free_lease_slots == 0
    assert policy.next_wake_s(now_s=0.0) <= 0.5, "it is looked at again"
    policy.has_in_hand({ROOT: 0b111}, has_room=False, now_s=60.0)
    announce = announce_of(policy.requests(now_s=60.0))
    assert announce is None or not announce.is_starving
    assert policy.rescues == 0
    policy.has_in_hand({ROOT: 0b1}, has_room=True, now_s=60.5)
    announce = announce_of(policy.requests(now_s=60.5))
    assert announce is not None
    assert announce.free_lease_slots == 2


def test_a_node_that_has_become_a_neighbour_says_so_though_an_announce_is_on_its_way() -> None:
    policy = build_policy()
    policy.still_starting(has_room=True, now_s=0.0)
    assert announce_of(policy.requests(now_s=0.0)) is not None
    policy.started(now_s=0.1)
    assert announce_of(policy.requests(now_s=0.1)) is not None


def test_a_node_whose_id_is_taken_by_another_announces_at_once_under_its_next_and_then_with_patience() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.announce_refused(is_news=True, now_s=0.1)
    assert announce_of(policy.requests(now_s=0.1)) is not None
    policy.announce_refused(is_news=True, now_s=0.2)
    assert announce_of(policy.requests(now_s=0.2)) is None
    assert announce_of(policy.requests(now_s=5.0)) is not None


def test_of_two_refusals_of_one_id_the_second_is_no_news() -> None:
    policy = build_policy()
    policy.requests(now_s=0.0)
    policy.tell_soon()
    policy.requests(now_s=0.0)
    policy.announce_refused(is_news=True, now_s=0.1)
    policy.announce_refused(is_news=False, now_s=0.1)
    assert not policy.is_alone
    assert announce_of(policy.requests(now_s=0.1)) is not None


def help_itself() -> tuple[Policy, list[FetchRequest]]:
    """Return a policy that has complained in vain, and what it fetches from the origin by itself."""
    policy = build_policy(count=512)
    for now_s in (0.0, 1.0):
        policy.requests(now_s=now_s)
        policy.handout_arrived(handout(after_s=60.0), now_s=now_s)
    return policy, fetches_of(policy.requests(now_s=1.5 * LIMITS.rescue_s))


def receive(policy: Policy, fetch: FetchRequest, *, now_s: float) -> list[FetchRequest]:
    """Receive a range whole; return what is fetched next."""
    give_pieces(policy, fetch.piece_range.first, fetch.piece_range.count, now_s=now_s)
    policy.range_ended(fetch.piece_range.number, is_whole=True, now_s=now_s)
    return fetches_of(policy.requests(now_s=now_s))


def test_a_node_that_helps_itself_goes_on_at_once_with_two_runs_that_grow() -> None:
    """So it is as fast as plain HTTPS, though every range that ends is news of progress."""
    policy, fetches = help_itself()
    counts = [fetch.piece_range.count for fetch in fetches]
    for number in range(8):
        first, *others = fetches
        begun = receive(policy, first, now_s=7.0 + number)
        assert len(begun) == 1, "the pipe to the origin runs dry"
        fetches = [*others, *begun]
        counts.append(begun[0].piece_range.count)
    assert counts[:2] == [LIMITS.rescue_bytes >> 16] * LIMITS.lease_slots
    assert max(counts) == LIMITS.rescue_max_bytes >> 16


def test_a_node_stops_helping_itself_when_the_seeder_gives_leases_again() -> None:
    policy, (first, second) = help_itself()
    policy.handout_arrived(handout(lease(7, 500)), now_s=7.0)
    assert [each.piece_range.lease for each in receive(policy, first, now_s=7.1)] == [LeaseId(7)]
    assert receive(policy, second, now_s=7.2) == []


def test_a_node_stops_helping_itself_only_when_neighbours_deliver_what_the_seeder_says_they_do() -> None:
    is_supplied = Handout(announce_after_s=60.0, origins=("",), is_supplied=True)
    policy, (first, second) = help_itself()
    policy.handout_arrived(is_supplied, now_s=7.0)
    (third,) = receive(policy, first, now_s=7.1)
    asked = {
        index
        for each in (first, second, third)
        for index in range(each.piece_range.first, each.piece_range.first + each.piece_range.count)
    }
    give_pieces(policy, next(index for index in range(512) if index not in asked), 1, now_s=7.2)
    policy.handout_arrived(is_supplied, now_s=7.3)
    assert receive(policy, second, now_s=7.4) == []


def test_a_node_that_helps_itself_fetches_what_a_boot_waits_for_of_every_image_first() -> None:
    plugin = InfoHash(b"p" * 32)
    wanted = {ROOT: Wanted(ROOT, 512, 1 << 16, first=0b11), plugin: Wanted(plugin, 4, 1 << 16, first=0b1111)}
    policy = Policy(wanted, origin="https://seeder", now_s=0.0, random=Random(1))
    for _ in range(LIMITS.failures_alone):
        policy.requests(now_s=0.0)
        policy.announce_failed(now_s=0.0)
    fetches = fetches_of(policy.requests(now_s=0.0))
    assert {each.piece_range.info_hash for each in fetches} == {ROOT, plugin}
    assert all(wanted[each.piece_range.info_hash].first >> each.piece_range.first & 1 for each in fetches)
