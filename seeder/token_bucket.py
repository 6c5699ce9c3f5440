"""A token bucket (RFC 2697, section 3), counted in whole events. Pure: the time comes in, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """So many at once, then so many a second: `tokens` were there at `filled_s`."""

    tokens: float
    filled_s: float

    def has(self, now_s: float, *, per_s: float) -> bool:
        """Return whether one more may happen now."""
        return self.tokens + max(0.0, now_s - self.filled_s) * per_s >= 1.0

    def fill(self, now_s: float, *, per_s: float, burst: float) -> int:
        """Return how many may happen now."""
        self.tokens = min(burst, self.tokens + max(0.0, now_s - self.filled_s) * per_s)
        self.filled_s = max(now_s, self.filled_s)
        return int(self.tokens)

    def take(self, now_s: float, *, per_s: float, burst: float) -> bool:
        """Return whether one more may happen now, and count it if it may."""
        if not self.fill(now_s, per_s=per_s, burst=burst):
            return False
        self.tokens -= 1.0
        return True
