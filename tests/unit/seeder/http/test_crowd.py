"""Which connections the seeder keeps when there are too many, and when it loses patience."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest

from seeder.http.crowd import CONNECTIONS_MAX, Crowd, Place, connections_for
from swarmboot.text.addresses import counted_as


class Listener:
    """A crowd, and who of it was cut off."""

    def __init__(self, most: int) -> None:
        self.crowd = Crowd(most)
        self.cut: list[str] = []
        self._number = 0

    def enter(self, host: str, *, at_s: float = 0.0, waits: bool = True) -> Place | None:
        self._number += 1
        place = self.crowd.enter(host, self._teller(host), now_s=at_s)
        if place is not None and waits:
            place.wait(at_s, 100.0)
        return place

    def _teller(self, host: str) -> Callable[[], None]:
        return lambda: self.cut.append(host)


def test_a_full_crowd_cuts_off_the_address_with_most() -> None:
    listener = Listener(100)
    for number in range(20):
        assert listener.enter(f"10.0.0.{number}", at_s=0.0)
    for second in range(500):
        listener.enter("10.6.6.6", at_s=1.0 + second)
    assert set(listener.cut) == {"10.6.6.6"}
    assert len(listener.crowd) <= 100
    assert listener.enter("10.0.0.77", at_s=1000.0)
    assert set(listener.cut) == {"10.6.6.6"}


def test_of_one_address_those_that_have_waited_longest_go_first() -> None:
    listener = Listener(8)
    first = listener.enter("10.6.6.6", at_s=0.0)
    second = listener.enter("10.6.6.6", at_s=1.0)
    assert first is not None
    assert second is not None
    second.work()
    first.wait(50.0, 100.0)
    for second_s in range(2, 20):
        listener.enter("10.6.6.6", at_s=float(second_s))
    listener.crowd.leave(first)
    listener.crowd.leave(second)
    assert first.cut is not second.cut
    assert len(listener.crowd) == 4


def test_one_address_leaves_a_quarter_of_the_room_to_others() -> None:
    listener = Listener(100)
    for second in range(300):
        listener.enter("10.6.6.6", at_s=float(second))
    assert len(listener.crowd) <= 75


def test_connections_at_work_are_cut_off_only_for_who_has_far_fewer() -> None:
    listener = Listener(40)
    for number in range(40):
        listener.enter(f"10.0.0.{1 + number % 2}", waits=False)
    assert listener.enter("10.0.0.1", waits=False) is None
    assert listener.enter("10.0.0.3", waits=False) is not None
    assert len(listener.crowd) == 40


def test_a_deadline_cuts_off_and_work_has_none() -> None:
    listener = Listener(10)
    slow, busy, idle = (listener.enter(f"10.0.0.{number}") for number in range(3))
    assert slow is not None
    assert busy is not None
    assert idle is not None
    busy.work()
    idle.wait(0.0, 200.0, is_idle=True)
    listener.crowd.expire(150.0)
    assert listener.cut == ["10.0.0.0"]
    assert busy.due_s == math.inf
    listener.crowd.stop()
    assert listener.cut == ["10.0.0.0", "10.0.0.2"]


def test_whatever_comes_and_goes_the_crowd_stays_within_its_bounds() -> None:
    random, listener, places = Random(7), Listener(64), []
    for step in range(5000):
        place = listener.enter(
            f"10.0.{random.randrange(3)}.{random.randrange(40)}", at_s=step, waits=random.random() < 0.8
        )
        places += [place] if place else []
        if random.random() < 0.3:
            listener.crowd.leave(places.pop(random.randrange(len(places))))
        if random.random() < 0.1:
            listener.crowd.expire(float(step))
        assert len(listener.crowd) <= 64
    for place in places:
        listener.crowd.leave(place)
    assert len(listener.crowd) == 0


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"),
        ("2001:db8:1:2::9", "2001:db8:1:2"),
        ("2001:db8::9", "2001:db8:0:0"),
        ("fe80::1%eth0", "fe80:0:0:0"),
        ("::1", "0:0:0:0"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
    ],
)
def test_an_ipv6_host_counts_by_its_network(host: str, counted: str) -> None:
    assert counted_as(host) == counted


@pytest.mark.parametrize(("descriptors", "most"), [(1024, 896), (64, 32), (1, 1), (1 << 20, CONNECTIONS_MAX)])
def test_as_many_connections_as_descriptors_allow(descriptors: int, most: int) -> None:
    assert connections_for(descriptors) == most
