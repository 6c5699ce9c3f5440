"""A node's lines are handed in at a pace that leaves its boot and its seeder alone."""

from __future__ import annotations

from random import Random

from leecher.policy.log_pace import BURST_BYTES, BYTES_PER_S, DIAL_S, EVERY_S, START_S, LogPace


def test_nothing_is_handed_in_while_a_boot_makes_its_first_requests() -> None:
    assert LogPace(Random(1), now_s=100.0).due_s == 100.0 + START_S


def test_a_boot_has_so_many_bytes_and_later_so_many_a_second() -> None:
    pace = LogPace(Random(1), now_s=0.0)
    assert pace.may_spend(BURST_BYTES, now_s=0.0)
    assert not pace.may_spend(1, now_s=0.0)
    assert not pace.may_spend(int(BYTES_PER_S * 10) + 1, now_s=10.0)
    assert pace.may_spend(int(BYTES_PER_S * 10), now_s=10.0)


def test_the_seeder_says_when_to_come_again_a_second_at_least() -> None:
    pace = LogPace(Random(1), now_s=0.0)
    pace.taken(0.0, now_s=50.0)
    assert pace.due_s == 50.0 + EVERY_S
    pace.taken(10.0, now_s=50.0)
    assert pace.due_s == 60.0


def test_a_seeder_that_is_away_is_asked_ever_less_often_and_at_once_when_it_is_back() -> None:
    pace, pauses = LogPace(Random(1), now_s=0.0), []
    for _ in range(12):
        pace.failed(now_s=0.0)
        pauses.append(pace.due_s)
    assert pauses[0] <= 2.0
    assert 30.0 <= pauses[-1] <= 60.0
    pace.taken(1.0, now_s=0.0)
    pace.failed(now_s=0.0)
    assert pace.due_s <= 2.0


def test_a_connection_is_dialled_for_lines_that_have_waited_for_an_idle_one() -> None:
    pace = LogPace(Random(1), now_s=0.0)
    pace.taken(1.0, now_s=100.0)
    assert not pace.may_dial(90.0, now_s=101.0 + DIAL_S - 0.1)
    assert pace.may_dial(90.0, now_s=101.0 + DIAL_S)
    assert not pace.may_dial(500.0, now_s=501.0)  # it has been quiet for long, and has just said something
