"""How long this fleet's phases take, and from when on one takes too long. Pure; seconds.

A phase is too long when it has taken FACTOR times what 95 of 100 took lately, and no less than its floor: a fleet whose
images take a second must not call two seconds stuck. Until LEAST have ended there is only a generous bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from seeder.record.policy.boot import PHASES, Span

FACTOR = 3.0
LEAST = 8
_KEPT = 512

FLOORS_S = {"queue": 120.0, "services": 90.0}
_FLOOR_S = 60.0
FIRST_S = {"queue": 900.0, "stage0": 300.0, "kernel": 180.0, "images": 1800.0, "services": 300.0}
_FIRST_S = 180.0


class Pace:
    """The last durations of each phase, a bounded number of them."""

    def __init__(self) -> None:
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
        """Return from when on each phase is too long."""
        p95_s = self.p95_s()
        return {
            name: max(FLOORS_S.get(name, _FLOOR_S), FACTOR * p95_s[name])
            if name in p95_s
            else FIRST_S.get(name, _FIRST_S)
            for name in PHASES
        }


def _p95(values: deque[float]) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, len(ranked) * 95 // 100)]
