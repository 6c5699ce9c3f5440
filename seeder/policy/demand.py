"""How many of those who wait count when others are asked to serve them: anybody can make machines up.

A machine that somebody has made up asks from the address of who made it up. So of one address only a few count, and of
those that go last none. Values only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

OF_AN_ADDRESS = 8
"""So many machines of one address count: behind a proxy or NAT there are more, but nobody makes hundreds count."""


class Demand:
    """Counts who waits by address; `total` is what counts of them."""

    def __init__(self) -> None:
        self.total = 0
        self._at: Counter[Hashable] = Counter()

    def add(self, address: Hashable) -> None:
        """Count one more at an address."""
        self.total += self._at[address] < OF_AN_ADDRESS
        self._at[address] += 1

    def remove(self, address: Hashable) -> None:
        """Count one less at an address, which has been added."""
        self._at[address] -= 1
        self.total -= self._at[address] < OF_AN_ADDRESS
        if not self._at[address]:
            del self._at[address]
