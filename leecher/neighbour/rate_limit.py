"""A rate that several threads keep together: a token bucket that tells each how long to wait."""

from __future__ import annotations

import threading
import time


class TokenBucket:
    """Bytes per second over all users; 0 for no limit. Bursts of up to a tenth of a second pass at once."""

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free_s = 0.0

    def wait_s(self, size_bytes: int, *, now_s: float) -> float:
        """Return how long to wait before `size_bytes` may go, and count them as gone."""
        if not self.bytes_per_s:
            return 0.0
        with self._lock:
            start_s = max(self._free_s, now_s - 0.1)
            self._free_s = start_s + size_bytes / self.bytes_per_s
            return max(0.0, start_s - now_s)

    def wait(self, size_bytes: int) -> None:
        """Wait until `size_bytes` may go."""
        time.sleep(self.wait_s(size_bytes, now_s=time.monotonic()))
