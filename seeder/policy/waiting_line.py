"""Who waits, in the order of their numbers, and some of whom have gone meanwhile."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable


class WaitingLine:
    """Who waits here, by number, in a heap; who has gone is found to have when it would be its turn."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._nodes: dict[int, Hashable] = {}

    def add(self, number: int, node: Hashable) -> None:
        """Add a node, which may be there already."""
        if number not in self._nodes:
            self._nodes[number] = node
            heapq.heappush(self._numbers, number)

    def first(self, is_right: Callable[[int, Hashable], bool]) -> Hashable | None:
        """Return the node with the lowest number, all below it dropped for which `is_right` does not hold."""
        while self._numbers:
            number = self._numbers[0]
            if is_right(number, self._nodes[number]):
                return self._nodes[number]
            del self._nodes[heapq.heappop(self._numbers)]
        return None
