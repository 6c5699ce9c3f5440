"""Whether a boot goes well: booting, up, failed, stuck, gone. Pure; times are Unix seconds.

Stuck is what takes longer than this fleet's pace allows (`seeder.record.policy.pace`), what has been silent or without
a new piece for too long, and what this server itself has turned away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from seeder.record.policy.boot import Boot, Outcome
from seeder.record.policy.pace import IDLE, SILENT

UP_SILENT_S = 300.0
"""A booted node announces at least every 30 seconds or so; one that has not for so long has gone without a word."""


class State(StrEnum):
    """How a boot stands."""

    BOOTING = "booting"
    UP = "up"
    FAILED = "failed"
    STUCK = "stuck"
    GONE = "gone"


class Why(StrEnum):
    """Why a boot is stuck, empty for one that is not."""

    NOTHING = ""
    CHANNEL = "channel"
    TURNED_AWAY = "turned away"
    NO_SCRIPT = "no script"
    SILENT = "silent"
    IDLE = "idle"
    SLOW = "slow"
    UNASKED = "unasked"
    UNHEARD = "unheard"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Standing:
    """A boot's state, why if it is stuck, since when it is in its phase or what came of it, and its phase's bound."""

    state: State
    why: Why
    since_s: float
    limit_s: float = 0.0


def standing(boot: Boot, limits_s: Mapping[str, float], *, now_s: float) -> Standing:
    """Return how a boot stands now; `limits_s` are those of its fleet's pace."""
    phase = boot.phase
    begun, end = boot.phases.get(phase, (boot.began_s, None))
    if boot.outcome is Outcome.FAILED:
        return Standing(State.FAILED, Why.NOTHING, boot.faults[-1].at_s if boot.faults else boot.heard_s)
    if boot.outcome is Outcome.LEFT:
        return Standing(State.GONE, Why.NOTHING, boot.heard_s)
    if boot.outcome is Outcome.UP:
        state = State.GONE if now_s - boot.heard_s > UP_SILENT_S else State.UP
        since_s = max((end for _, end in boot.phases.values() if end is not None), default=boot.began_s)
        return Standing(state, Why.NOTHING, since_s if state is State.UP else boot.heard_s)
    limit_s = limits_s.get(phase, 0.0) if end is None else 0.0
    why = _why_stuck(boot, phase, limits_s, took_s=now_s - begun if end is None else 0.0, now_s=now_s)
    return Standing(State.STUCK if why else State.BOOTING, why, begun, limit_s)


def _why_stuck(boot: Boot, phase: str, limits_s: Mapping[str, float], *, took_s: float, now_s: float) -> Why:
    if boot.missed:
        return Why.CHANNEL
    if boot.refused:
        return Why.TURNED_AWAY
    if phase == "queue" and boot.faults:
        return Why.NO_SCRIPT
    is_late = took_s > limits_s.get(phase, math.inf)
    if phase == "services":
        return Why.DARK if is_late else Why.NOTHING
    if phase == "dhcp":
        return Why.UNASKED if is_late else Why.NOTHING
    if phase == "kernel":
        return Why.UNHEARD if is_late else Why.NOTHING
    is_expected = boot.has_spoken or phase == "queue"  # a machine that waits asks again every few seconds
    if is_expected and now_s - boot.heard_s > limits_s.get(SILENT, math.inf):
        return Why.SILENT
    if phase == "images" and boot.gained_s and now_s - boot.gained_s > limits_s.get(IDLE, math.inf):
        return Why.IDLE
    return Why.SLOW if is_late else Why.NOTHING
