"""Who is asked to serve stage 0 while it fetches: as many as those who wait have use for, and where they take it."""

from __future__ import annotations

from seeder.policy.admission import Admission, AdmissionLimits
from seeder.policy.demand import OF_AN_ADDRESS
from seeder.policy.recruiting import PENDING_S, Invitation, Recruiting

LIMITS = AdmissionLimits(uplink_bytes_per_s=100.0, load_bytes=100)


def queue_of(waiting: int) -> tuple[Admission, Recruiting]:
    """Return an admission where so many machines wait and the server is busy, and who recruits for it."""
    admission = Admission(LIMITS)
    for number in range(waiting):
        admission.ask(f"machine {number}", now_s=0.0)
    return admission, Recruiting(admission)


def test_nobody_is_asked_while_nobody_waits() -> None:
    _, recruiting = queue_of(0)
    assert recruiting.invite("node", now_s=0.0) is None


def test_the_first_takes_what_it_lacks_from_the_origin_and_the_next_wait_for_it() -> None:
    _, recruiting = queue_of(20)
    assert recruiting.invite("first", now_s=0.0) == Invitation(None)
    assert recruiting.invite("second", now_s=0.1) is None
    assert recruiting.invite("first", now_s=0.2) == Invitation(None)


def test_later_ones_take_it_from_those_who_serve_two_from_each_and_one_more_from_the_origin() -> None:
    admission, recruiting = queue_of(20)
    for name in ("one", "two"):
        admission.offer(name)
    asked = [recruiting.invite(number, now_s=0.0) for number in range(6)]
    assert asked == [*map(Invitation, ("one", "two", "one", "two", None)), None]
    assert recruiting.fetches_from_origin(4)
    assert not recruiting.fetches_from_origin(0)


def test_no_more_are_asked_than_those_who_wait_have_use_for() -> None:
    admission, recruiting = queue_of(4)
    admission.offer("one")
    asked = [recruiting.invite(number, now_s=0.0) for number in range(10)]
    assert sum(each is not None for each in asked) == 3


def test_one_that_never_serves_is_counted_for_seconds_only() -> None:
    _, recruiting = queue_of(20)
    assert recruiting.invite("dies", now_s=0.0) is not None
    assert recruiting.invite("next", now_s=PENDING_S - 0.1) is None
    assert recruiting.invite("next", now_s=PENDING_S) == Invitation(None)


def test_an_address_where_one_never_served_is_not_asked_again_whatever_it_calls_itself_until_one_there_serves() -> None:
    _, recruiting = queue_of(20)
    assert recruiting.invite("name 1", address="10.0.0.66", now_s=0.0) is not None
    for number in range(2, 50):
        assert recruiting.invite(f"name {number}", address="10.0.0.66", now_s=number * PENDING_S) is None
    assert recruiting.invite("other", address="10.0.0.7", now_s=50 * PENDING_S) == Invitation(None)
    recruiting.serves("name 1", address="10.0.0.66")
    recruiting.serves("other", address="10.0.0.7")
    assert recruiting.invite("name 3", address="10.0.0.66", now_s=51 * PENDING_S) == Invitation(None)


def test_machines_that_one_host_makes_up_have_few_nodes_asked() -> None:
    admission = Admission(LIMITS)
    for number in range(1000):
        admission.ask(number, address="10.0.0.66", now_s=0.0)
    admission.offer("serves")
    recruiting = Recruiting(admission)
    asked = [recruiting.invite(f"node {number}", now_s=0.0) for number in range(20)]
    assert sum(each is not None for each in asked) <= OF_AN_ADDRESS // LIMITS.neighbour_slots


def test_one_that_serves_is_about_to_no_more() -> None:
    _, recruiting = queue_of(20)
    recruiting.invite("node", now_s=0.0)
    recruiting.serves("node")
    assert recruiting.pending == 0


def test_one_that_has_gone_is_no_source() -> None:
    admission, recruiting = queue_of(20)
    admission.offer("gone")
    admission.withdraw("gone")
    assert recruiting.invite("node", now_s=0.0) == Invitation(None)
