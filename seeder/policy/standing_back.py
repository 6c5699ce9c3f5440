"""Whether a server leaves machines to the neighbours that serve stage 0: while these take many for each one of its own.

A machine that it does not let in has its turn at a neighbour a fraction of a load later, and the server's link is free
for images, which it alone can send at first. Turns that were given count, not neighbours that say they can: one that
holds its loads up, or dies in them, is given no more, and the server goes on within the time of one load.

Facts in, answers out; times in seconds. It knows no node.
"""

from __future__ import annotations

import math
from collections import deque

FOR_ONE = 8
"""So many machines at neighbours in the time in which a server sends one: its part of the fleet is a ninth then."""


class StandingBack:
    """The last turns that neighbours were given."""

    def __init__(self) -> None:
        self._lent_s: deque[float] = deque(maxlen=FOR_ONE)

    def lent(self, now_s: float) -> None:
        """Take note that a neighbour was given a machine."""
        self._lent_s.append(now_s)

    def until_s(self, turn_s: float) -> float:
        """Return until when a server, of whose link a load takes `turn_s`, lets nobody in; long ago if it may now."""
        return self._lent_s[0] + turn_s if len(self._lent_s) == FOR_ONE else -math.inf
