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

    def take(self, now_s: float, *, per_s: float, burst: float) -> bool:
        """Return whether one more may happen now, and count it if it may."""
        self.tokens = min(burst, self.tokens + max(0.0, now_s - self.filled_s) * per_s)
        self.filled_s = max(now_s, self.filled_s)
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True
