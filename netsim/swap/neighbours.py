"""Who is whose neighbour, as arrays: `of` has a row an end, filled up to its `degree`."""

from __future__ import annotations

import numpy as np

from netsim.scenario.arrays import Ints

_AT_FIRST = 32


class Neighbours:
    """The neighbours of every end. A ban goes one way: the banned still sees the other as its neighbour."""

    def __init__(self, ends: int) -> None:
        self.of: Ints = np.full((ends, _AT_FIRST), -1)
        self.degree: Ints = np.zeros(ends, np.int64)
        self._linked: set[tuple[int, int]] = set()

    def connect(self, one: int, other: int) -> None:
        """Make two ends neighbours; once is enough."""
        key = (min(one, other), max(one, other))
        if one == other or key in self._linked:
            return
        self._linked.add(key)
        for end, peer in ((one, other), (other, one)):
            if self.degree[end] == self.of.shape[1]:
                self.of = np.concatenate([self.of, np.full_like(self.of, -1)], axis=1)
            self.of[end, self.degree[end]] = peer
            self.degree[end] += 1

    def ban(self, end: int, peer: int) -> None:
        """Have an end ask a peer no more."""
        row = self.of[end, : self.degree[end]]
        kept = row[row != peer]
        self.of[end, : len(kept)] = kept
        self.degree[end] = len(kept)
