"""Stuck is a state, by the fleet's own pace; each state's cause is in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from seeder.record.policy.boot import Boot, Fault, Outcome
from seeder.record.policy.causes import _BY_STATUS, REFUSALS, Cause, Site, cause_of
from seeder.record.policy.pace import FACTOR, LEAST, Pace
from seeder.record.policy.state import State, Why, standing
from swarmboot.errors import SwarmbootError

SITE = Site({"stable": 7, "edge": 9})
LIMITS_S = Pace().limits_s()


def build_boot(**changes: Any) -> Boot:
    return Boot(**{"id": "b", "began_s": 0.0, "heard_s": 0.0, **changes})


def why(boot: Boot, now_s: float, limits_s: dict[str, float] = LIMITS_S) -> tuple[State, Cause]:
    how = standing(boot, limits_s, now_s=now_s)
    return how.state, cause_of(boot, how, SITE, now_s=now_s)


def test_a_phase_is_too_long_by_the_fleets_own_pace_and_not_before_enough_have_passed_it() -> None:
    pace = Pace()
    for _ in range(LEAST - 1):
        pace.learn({}, {"images": (0.0, 100.0)})
    assert pace.limits_s()["images"] == 1800.0
    pace.learn({"images": (0.0, None)}, {"images": (0.0, 100.0)})
    assert pace.limits_s()["images"] == FACTOR * 100.0
    pace.learn({"images": (0.0, 5.0)}, {"images": (0.0, 5.0)})  # had ended before
    assert pace.limits_s()["images"] == FACTOR * 100.0


def test_a_fleet_that_takes_seconds_has_a_floor() -> None:
    pace = Pace()
    for _ in range(LEAST):
        pace.learn({}, {"images": (0.0, 1.0)})
    assert pace.limits_s()["images"] == 60.0


def test_a_slow_phase_is_stuck_and_says_by_how_much() -> None:
    boot = build_boot(phases={"images": (0.0, None)}, nodes=("aa",), gained_s=290.0, heard_s=300.0)
    assert why(boot, 300.0)[0] is State.BOOTING
    state, cause = why(boot, 301.0, {**LIMITS_S, "images": 300.0})
    assert (state, cause.kind) == (State.STUCK, "slow")
    assert "5 min 1 s" in cause.text


def test_who_waits_for_stage_0_says_how_many_are_before_it() -> None:
    boot = build_boot(phases={"queue": (0.0, None)}, ahead=14, heard_s=590.0)
    state, cause = why(boot, 600.0)
    assert (state, cause.text) == (State.BOOTING, "waits for stage 0: 14 machines are before it")
    assert why(boot, 900.1)[0] is State.STUCK


def test_a_storm_of_machines_is_not_stuck_because_the_first_were_quick_and_who_stops_asking_is() -> None:
    pace = Pace()
    for _ in range(LEAST):
        pace.learn({}, {"queue": (0.0, 1.0)})
    waits = build_boot(phases={"queue": (0.0, None)}, heard_s=595.0)
    assert why(waits, 600.0, pace.limits_s())[0] is State.BOOTING
    state, cause = why(waits, 700.0, pace.limits_s())
    assert (state, cause.kind) == (State.STUCK, "silent")
    assert "while it waited for stage 0" in cause.text


def test_who_asks_for_a_channel_that_is_not_there_is_stuck_at_once() -> None:
    state, cause = why(build_boot(missed="edgy"), 1.0)
    assert (state, cause.text) == (State.STUCK, "asked for channel edgy; this site has edge, stable")


def test_who_loaded_stage_0_and_never_announced_is_stuck() -> None:
    boot = build_boot(phases={"stage0": (0.0, 5.0), "kernel": (5.0, None)})
    assert why(boot, 60.0)[0] is State.BOOTING
    state, cause = why(boot, 5.0 + 180.0 + 1)
    assert (state, cause.kind) == (State.STUCK, "never announced")
    assert "181 s" in cause.text or "3 min" in cause.text


def test_who_was_told_by_dhcp_what_to_boot_and_never_asked_is_stuck() -> None:
    boot = build_boot(phases={"dhcp": (0.0, None)}, mac="52:54:00:00:00:01")
    assert why(boot, 100.0)[0] is State.BOOTING
    state, cause = why(boot, 181.0)
    assert (state, cause.kind) == (State.STUCK, "never asked")
    assert "3 min 1 s ago" in cause.text


def test_silence_after_hand_off_is_stuck_and_not_up() -> None:
    boot = build_boot(phases={"services": (0.0, None)}, outcome=Outcome.VERIFIED, hands_off=True, nodes=("aa",))
    assert why(boot, 89.0)[0] is State.BOOTING
    state, cause = why(boot, 91.0, {**LIMITS_S, "services": 90.0})
    assert (state, cause.kind) == (State.STUCK, "dark after hand-off")
    assert cause.text.startswith("no sound for 91 s after hand-off: it panicked")


def test_a_node_that_goes_silent_while_it_fetches_is_stuck_long_before_its_phase_is_long() -> None:
    boot = build_boot(phases={"images": (0.0, None)}, nodes=("aa",), heard_s=5.0, gained_s=5.0)
    state, cause = why(boot, 100.0)
    assert (state, cause.kind) == (State.STUCK, "silent")


def test_a_node_that_gets_no_piece_is_stuck_although_it_announces() -> None:
    boot = build_boot(phases={"images": (0.0, None)}, nodes=("aa",), heard_s=99.0, gained_s=5.0, is_starving=True)
    state, cause = why(boot, 100.0)
    assert (state, cause.kind) == (State.STUCK, "no piece comes")
    assert "neighbours send it nothing" in cause.text


@pytest.mark.parametrize("kind", REFUSALS)
def test_who_is_turned_away_or_turns_away_says_why(kind: str) -> None:
    state, cause = why(build_boot(refused=kind), 1.0)
    assert state is State.STUCK
    assert cause == REFUSALS[kind]


def test_a_banned_neighbour_and_another_kernel_are_said_of_a_node_that_is_up() -> None:
    up = {"outcome": Outcome.UP, "heard_s": 100.0}
    assert why(build_boot(bans=("10.0.3.7",), hash_failures=12, **up), 100.0)[1].text == (
        "neighbour 10.0.3.7 sent it 12 corrupt pieces and was banned; nothing corrupt was kept"
    )
    other = why(build_boot(stage0="the kernel is 6.1, not 6.12", kernel="6.1.0", **up), 100.0)
    assert other[1].text.startswith("it booted another kernel or initramfs than it was given (it runs 6.1.0)")
    assert other[0] is State.UP


def test_every_status_that_an_error_has_has_an_advice() -> None:
    def statuses(kind: type[SwarmbootError]) -> set[int]:
        return {kind.exit_status}.union(*(statuses(each) for each in kind.__subclasses__()))

    on_a_server = {1, 43, 44, *range(50, 60), 65}
    assert statuses(SwarmbootError) - on_a_server == set(_BY_STATUS)


def test_a_failure_is_its_status_and_its_own_words() -> None:
    boot = build_boot(outcome=Outcome.FAILED, faults=(Fault(5.0, "too little RAM: expected 8 GiB, found 4 GiB", 61),))
    state, cause = why(boot, 10.0)
    assert (state, cause.kind) == (State.FAILED, "no room for the images")
    assert cause.text.endswith("found 4 GiB (exit status 61)")
    assert "memory" in cause.advice


def test_a_node_that_was_up_and_is_silent_is_gone() -> None:
    boot = build_boot(outcome=Outcome.UP, heard_s=100.0)
    assert why(boot, 200.0)[0] is State.UP
    assert why(boot, 500.0)[0] is State.GONE
    assert standing(boot, LIMITS_S, now_s=500.0).why is Why.NOTHING
