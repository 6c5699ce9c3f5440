"""The seeder's pacing, on a clock of the test's own."""

from __future__ import annotations

import pytest

from seeder.pacer import CATCH_UP_S, Pacer


def build_pacer(clock: list[float]) -> Pacer:
    return Pacer(1000.0, clock=lambda: clock[0])


def test_a_busy_uplink_lets_bytes_go_at_its_rate() -> None:
    clock = [100.0]
    pacer = build_pacer(clock)
    sent = 0
    while clock[0] < 110.0:
        clock[0] += pacer.reserve(50)
        sent += 50
    assert sent == pytest.approx(10_000 + CATCH_UP_S * 1000, abs=100)


def test_an_idle_uplink_gives_a_quarter_of_a_second_at_most() -> None:
    clock = [0.0]
    pacer = build_pacer(clock)
    pacer.reserve(1)
    clock[0] = 1000.0
    at_once = 0
    while pacer.reserve(10) == 0.0:
        at_once += 10
    assert at_once <= CATCH_UP_S * 1000 + 10


def test_turns_are_taken_in_order() -> None:
    pacer = build_pacer([100.0])
    waits = [pacer.reserve(500) for _ in range(4)]
    assert waits == sorted(waits)
    assert waits[-1] > waits[0]
