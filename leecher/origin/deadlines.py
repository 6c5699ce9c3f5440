"""Deadlines in all for what blocks on a socket: one thread ends whatever is overdue.

A socket's own timeout counts single reads, so that one byte every few seconds keeps a reader for ever. What is watched
here is ended from outside, however often a byte comes. It decides nothing: the owner of a deadline may put it off.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


class Deadline:
    """When something must be over, on the monotonic clock; may be put off, never brought forward.

    `is_over` says that it has passed and that the end was called for.
    """

    __slots__ = ("due_s", "end", "is_over")

    def __init__(self, due_s: float, end: Callable[[], None]) -> None:
        self.due_s = due_s
        self.end = end
        self.is_over = False


class Watch:
    """A thread that calls `end` of each deadline that passes; it starts with the first one."""

    def __init__(self) -> None:
        self._deadlines: set[Deadline] = set()
        self._condition = threading.Condition()
        self._wakes_s = math.inf
        self._is_running = False

    def begin(self, within_s: float, end: Callable[[], None]) -> Deadline:
        """Return a deadline so many seconds from now; `end` must not block, and is called at most once."""
        deadline = Deadline(time.monotonic() + within_s, end)
        with self._condition:
            self._deadlines.add(deadline)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="watch", daemon=True).start()
            elif deadline.due_s < self._wakes_s:
                self._condition.notify()
        return deadline

    def finish(self, deadline: Deadline) -> None:
        """Forget a deadline; its end is not called for once this has returned."""
        with self._condition:
            self._deadlines.discard(deadline)

    def _run(self) -> None:
        with self._condition:
            while True:
                now_s = time.monotonic()
                for deadline in [each for each in self._deadlines if each.due_s <= now_s]:
                    self._deadlines.discard(deadline)
                    deadline.is_over = True
                    deadline.end()
                self._wakes_s = min((each.due_s for each in self._deadlines), default=math.inf)
                self._condition.wait(None if self._wakes_s == math.inf else max(0.0, self._wakes_s - now_s))


WATCH = Watch()
"""The one of this program."""
