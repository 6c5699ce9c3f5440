"""How long this fleet's phases take, and from when on one takes too long. Pure; seconds.

A phase is too long when it has taken FACTOR times what 95 of 100 took lately, and no less than its floor: a fleet whose
images take a second must not call two seconds stuck. Until LEAST have ended there is only a generous bound. All bounds
are so many times `floor_s`, which the operator may set.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from seeder.record.policy.boot import PHASES, Span

FACTOR = 3.0
LEAST = 8
_KEPT = 512

FLOOR_S = 60.0
SILENT, IDLE = "silent", "idle"
"""The names of two bounds that are no phase's: without a word, and without a new piece, while a node fetches."""

_FLOORS = {"queue": 15.0, "services": 1.5}
_FIRST = {"queue": 15.0, "stage0": 5.0, "images": 30.0, "services": 5.0}
_FIRST_OF_OTHERS = 3.0


class Pace:
    """The last durations of each phase, a bounded number of them; no bound is below `floor_s`."""

    def __init__(self, floor_s: float = FLOOR_S) -> None:
        self._floor_s = floor_s
        self._took_s: dict[str, deque[float]] = {name: deque(maxlen=_KEPT) for name in PHASES}

    def learn(self, before: Mapping[str, Span], after: Mapping[str, Span]) -> None:
        """Take note of the phases that have ended between two values of a boot."""
        for name, (begun, end) in after.items():
            if end is not None and name in self._took_s and before.get(name, (0.0, None))[1] is None:
                self._took_s[name].append(max(0.0, end - begun))

    def p95_s(self) -> dict[str, float]:
        """Return what 95 of 100 took, of each phase that has ended LEAST times."""
        return {name: _p95(took) for name, took in self._took_s.items() if len(took) >= LEAST}

    def limits_s(self) -> dict[str, float]:
        """Return from when on each phase is too long, silence too (`SILENT`), and the lack of pieces (`IDLE`)."""
        floor_s, p95_s = self._floor_s, self.p95_s()
        limits_s = {
            name: max(_FLOORS.get(name, 1.0) * floor_s, FACTOR * p95_s[name])
            if name in p95_s
            else _FIRST.get(name, _FIRST_OF_OTHERS) * floor_s
            for name in PHASES
        }
        return {**limits_s, SILENT: 1.5 * floor_s, IDLE: floor_s}


def _p95(values: deque[float]) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, len(ranked) * 95 // 100)]
