"""Keeps what the seeder sends within its uplink: every response takes its turn, chunk by chunk, first come first.

A virtual clock: each chunk moves the time at which the next one may go out. Time that nobody used is made up for by a
quarter of a second at most, so that a busy processor costs no throughput and an idle link gives no burst.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

CATCH_UP_S = 0.25


class Pacer:
    """Lets bytes go at `rate_bytes_per_s`, payload alone counted."""

    def __init__(self, rate_bytes_per_s: float, *, clock: Callable[[], float] = trio.current_time) -> None:
        self._rate_bytes_per_s = rate_bytes_per_s
        self._clock = clock
        self._free_s = 0.0

    def reserve(self, size_bytes: int) -> float:
        """Return how many seconds to wait before sending `size_bytes`, whose turn is taken now."""
        now_s = self._clock()
        start_s = max(self._free_s, now_s - CATCH_UP_S)
        self._free_s = start_s + size_bytes / self._rate_bytes_per_s
        return max(0.0, start_s - now_s)

    async def take(self, size_bytes: int) -> None:
        """Return when `size_bytes` may be sent."""
        wait_s = self.reserve(size_bytes)
        if wait_s > 0:
            await trio.sleep(wait_s)
