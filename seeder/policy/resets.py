"""Which nodes are still there, after machines of them have been seen in their firmware again. Pure; seconds.

A machine that asks what to boot from where its node has just served was reset without a word, and as a rule not alone:
somebody has switched a rack off and on. Nodes are believed for some time after their last announce, longer than
firmware may take (in virtual machines it does), so the first who ask would be sent to neighbours that are gone, and
each of those costs them what a connection may take to fail. So from the first such machine on only those count that
have announced since.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable

RESET_S = 15.0
"""So long a reset counts: who has not announced by then is not believed any more anyway."""


class Resets:
    """When machines were seen to have been reset; `up` are those that have a node, as `here` told last."""

    def __init__(self) -> None:
        self._up: frozenset[Hashable] = frozenset()
        self._at_s: deque[float] = deque()

    def here(self, machines: Iterable[Hashable]) -> None:
        """Take note of the machines that have a node which serves."""
        self._up = frozenset(machines)

    def asks(self, machine: Hashable, *, now_s: float) -> bool:
        """Take note of a machine that asks what to boot; return whether it had a node, and so was reset."""
        is_reset = machine in self._up
        if is_reset:
            self._up -= {machine}
            self._at_s.append(now_s)
        return is_reset

    def since_s(self, *, now_s: float) -> float:
        """Return when a node must have announced at the earliest to be taken for one that is there."""
        while self._at_s and self._at_s[0] <= now_s - RESET_S:
            self._at_s.popleft()
        return self._at_s[0] if self._at_s else -math.inf
