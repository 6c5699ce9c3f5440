"""How long to wait after failures: each time twice as long, up to a bound, and not all at the same moment."""

from __future__ import annotations

from random import Random

_MAX_DOUBLINGS = 10


def doubled_s(first_s: float, max_s: float, times: int) -> float:
    """Return `first_s` doubled so many times, `max_s` at most; ten doublings count."""
    return min(max_s, first_s * 2.0 ** min(times, _MAX_DOUBLINGS))


def jittered_s(pause_s: float, random: Random) -> float:
    """Return between half of a pause and all of it, so that a rack does not act as one."""
    return random.uniform(0.5, 1.0) * pause_s


class Backoff:
    """The pauses of one who tries again and again, jittered: from `first_s` up to `max_s`."""

    def __init__(self, random: Random, *, first_s: float, max_s: float) -> None:
        self._random = random
        self._first_s = first_s
        self._max_s = max_s
        self._times = 0

    def next_s(self) -> float:
        """Return the next pause."""
        pause_s = jittered_s(doubled_s(self._first_s, self._max_s, self._times), self._random)
        self._times += 1
        return pause_s

    def reset(self) -> None:
        """Begin again with the shortest."""
        self._times = 0
