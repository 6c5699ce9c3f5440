"""How many announces a processor affords, and what nodes are asked to do when it affords fewer."""

from __future__ import annotations

from random import Random

import pytest

from seeder.policy.intervals import ANNOUNCES_PER_S_LEAST, BUSY_MAX, afforded_announces_per_s
from seeder.policy.limits import Limits
from seeder.policy.registry import Registry
from seeder.policy.tracker import Tracker
from swarmboot.ids import NodeId, Sequence
from swarmboot.wire.announce import Announce, NodeState

MOST = 1500.0


def settled(cost_s: float, nodes: int, *, other: float = 0.0, periods: int = 200) -> float:
    """Return the rate that is arrived at if an announce costs that much processor time and `other` is always used."""
    rate = MOST
    for _ in range(periods):
        announced = min(float(nodes), rate)
        busy = min(1.0, other + announced * cost_s)
        rate = afforded_announces_per_s(rate, busy=busy, announced_per_s=announced, most=MOST)
    return rate


@pytest.mark.parametrize("cost_s", [0.0006, 0.001, 0.002])
def test_a_large_fleet_announces_as_often_as_the_processor_affords(cost_s: float) -> None:
    assert 0.8 * BUSY_MAX <= settled(cost_s, 2000) * cost_s <= 1.05 * BUSY_MAX


def test_a_processor_with_room_is_asked_as_often_as_before() -> None:
    assert settled(0.0002, 2000) == MOST


def test_a_small_fleet_is_never_held_back_for_what_else_keeps_the_processor_busy() -> None:
    assert settled(0.0006, 64, other=0.9) >= ANNOUNCES_PER_S_LEAST > 64


def test_the_rate_comes_back_when_the_load_has_gone() -> None:
    rate = ANNOUNCES_PER_S_LEAST
    for _ in range(60):
        rate = afforded_announces_per_s(rate, busy=0.1, announced_per_s=100.0, most=MOST)
    assert rate == MOST


def test_handouts_of_a_busy_seeder_ask_its_nodes_to_come_back_later() -> None:
    tracker = Tracker(Registry(), Limits(uplink_bytes_per_s=125e6, interval_s=0.1), random=Random(1))

    def interval_s() -> float:
        for number in range(1000):
            said = Announce(NodeId(number.to_bytes(16, "big")), Sequence(1), NodeState.FETCHING, port=6881)
            (answer,) = tracker.announce(number, said, host=f"10.0.{number >> 8}.{number & 255}", now_s=1.0)
        return answer.handout.announce_after_s

    before_s = interval_s()
    for _ in range(10):
        interval_s()
        tracker.take_load(0.9, 1.0)
    assert interval_s() == pytest.approx(before_s * MOST / tracker.limits.announces_per_s)
    assert tracker.limits.announces_per_s < 0.6 * MOST
