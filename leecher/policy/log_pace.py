"""When a node hands what its kernel says to its seeder, and how much of it: a boot goes first.

Pure: the time comes in. So many bytes at once, then so many a second; so long between two posts as the seeder asks for,
a second at least; twice as long after each failure, up to a bound.
"""

from __future__ import annotations

from random import Random

from swarmboot.backoff import Backoff

START_S = 2.0
"""Nothing is posted before: a boot's first requests and leases go before that."""

EVERY_S = 1.0
BURST_BYTES, BYTES_PER_S = 768 << 10, 256.0
"""All that a kernel says while it starts, some three times over; later some 20 MB a day at the very most."""

DIAL_S = 5.0
"""So long lines wait for a connection that is open and idle, as a boot's are now and then, before one is dialled."""

_PAUSE_S, _PAUSE_MAX_S = 2.0, 60.0


class LogPace:
    """One node's pace. `is_over` once the seeder has said that it takes no lines."""

    def __init__(self, random: Random, *, now_s: float) -> None:
        self.due_s = now_s + START_S
        self.is_over = False
        self._backoff = Backoff(random, first_s=_PAUSE_S, max_s=_PAUSE_MAX_S)
        self._left_bytes = float(BURST_BYTES)
        self._filled_s = now_s

    def may_spend(self, size_bytes: int, *, now_s: float) -> bool:
        """Return whether so many bytes may be sent now, and count them if so."""
        self._left_bytes = min(BURST_BYTES, self._left_bytes + (now_s - self._filled_s) * BYTES_PER_S)
        self._filled_s = now_s
        if self._left_bytes < size_bytes:
            self.due_s = now_s + EVERY_S
            return False
        self._left_bytes -= size_bytes
        return True

    def may_dial(self, waiting_since_s: float, *, now_s: float) -> bool:
        """Return whether lines have waited for so long that a connection is worth dialling for them."""
        return now_s >= max(self.due_s, waiting_since_s) + DIAL_S

    def taken(self, after_s: float, *, now_s: float) -> None:
        """Take note that the seeder has answered, and how long it asks for until the next."""
        self._backoff.reset()
        self.due_s = now_s + max(EVERY_S, after_s)

    def failed(self, *, now_s: float) -> None:
        """Take note that nobody has answered as hoped."""
        self.due_s = now_s + self._backoff.next_s()
