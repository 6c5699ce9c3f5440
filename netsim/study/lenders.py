"""Booted nodes that have stage 0 and lend it to others that have booted, in the order in which they came by it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter


class Lenders:
    """Who can lend, each to `most` at a time; found in a time that hardly grows with their number."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: dict[int, int] = {}
        self._nodes: dict[int, int] = {}
        self._drawn = 0
        self._free: list[int] = []
        self._lending: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def has_room(self) -> bool:
        """Return whether anybody can lend now."""
        return bool(self._free)

    def add(self, node: int) -> None:
        """Let a node lend from now on."""
        self._drawn += 1
        self._places[node], self._nodes[self._drawn] = self._drawn, node
        self._set_free(node)

    def remove(self, node: int) -> None:
        """Let a node lend no more."""
        place = self._places.pop(node, None)
        if place is not None:
            del self._nodes[place]
            self._free = [free for free in self._free if free != place]

    def lend(self, node: int) -> int:
        """Return who lends to `node`, of those with room; raises ZeroDivisionError if nobody has."""
        lender = self._nodes[self._free[node % len(self._free)]]
        self._lending[lender] += 1
        self._set_free(lender)
        return lender

    def ended(self, lender: int) -> None:
        """Take note that somebody has what was borrowed; of an end that was none of these nothing follows."""
        self._lending[lender] -= 1
        self._set_free(lender)

    def _set_free(self, node: int) -> None:
        place = self._places.get(node)
        if place is None:
            return
        at = bisect_left(self._free, place)
        is_listed = at < len(self._free) and self._free[at] == place
        if self._lending[node] < self._most and not is_listed:
            insort(self._free, place)
        elif self._lending[node] >= self._most and is_listed:
            del self._free[at]
