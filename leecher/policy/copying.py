"""What of the images a node leaves to its cache, and for how long.

Pieces that lie whole in what can be copied are expected: no neighbour and no origin is asked for them, and the seeder
hears that they are there, so that it leases nobody what a whole rack is copying. The rest is fetched meanwhile as ever.

A cache must cost nothing but its use. One that brings nothing for `stall_s` is relied upon no more. One that reads
slower than the network would bring the same keeps as much as it will have read when the network is done with the rest:
so both work to the end, and together they are faster than either. How fast the network is nobody knows before it was
tried; it is taken to be as fast as the seeder's uplink. What is given up is copied all the same, where it comes first.

Pure: `now_s` comes in. Docs/decisions/0060.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from leecher.policy.node_policy import Wanted
from swarmboot.ids import InfoHash, PieceIndex
from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces


@dataclass(frozen=True, slots=True)
class CopyLimits:
    """The constants: seconds, and bytes per second. `network_bytes_per_s` is for a seeder that does not say."""

    stall_s: float = 2.0
    learn_s: float = 0.5
    look_s: float = 0.25
    network_bytes_per_s: float = 125e6


def covered(spans: Iterable[tuple[int, int]], *, size_bytes: int, piece_bytes: int) -> Pieces:
    """Return the pieces that lie whole within spans, given as first byte and size, rising and not overlapping."""
    pieces, start, end = 0, 0, 0
    for first, size in (*spans, (size_bytes, 0)):
        if first != end:
            pieces |= _whole(start, end, size_bytes, piece_bytes)
            start = first
        end = first + size
    return pieces | _whole(start, end, size_bytes, piece_bytes)


def _whole(start: int, end: int, size_bytes: int, piece_bytes: int) -> Pieces:
    first = -(-start // piece_bytes)
    last = piece_set.piece_count(size_bytes, piece_bytes) if end == size_bytes else end // piece_bytes
    return piece_set.span(first, last - first) if last > first else 0


class Copying:
    """The pieces that a cache has, in the order in which they are read, and which of them are left to it.

    `expected` is what others are not asked for now; what is taken from it never returns.
    """

    def __init__(
        self, wanted: Mapping[InfoHash, Wanted], cached: Mapping[InfoHash, Pieces], limits: CopyLimits | None = None
    ) -> None:
        self.expected = {h: pieces for h, pieces in cached.items() if pieces}
        self.order = tuple(
            (h, index)
            for is_first in (True, False)
            for h, pieces in self.expected.items()
            for index in piece_set.each(pieces & wanted[h].first if is_first else pieces & ~wanted[h].first)
        )
        self._limits = limits or CopyLimits()
        self._piece_bytes = {h: wanted[h].piece_bytes for h in self.expected}
        self._left = dict(self.expected)
        self._read_bytes = 0
        self._began_s = self._came_s = math.inf

    @property
    def is_over(self) -> bool:
        """Return whether nothing is left to the cache."""
        return not any(self.expected.values())

    def began(self, *, now_s: float) -> None:
        """Occurs when reading begins."""
        self._began_s = self._came_s = now_s

    def came(self, info_hash: InfoHash, *, now_s: float) -> None:
        """Occurs when a piece has been read from the cache."""
        self._read_bytes += self._piece_bytes[info_hash]
        self._came_s = now_s

    def settled(self, info_hash: InfoHash, index: PieceIndex) -> None:
        """Occurs when a piece is there, wherever it came from, and when the cache turns out not to have it."""
        for pieces in (self.expected, self._left):
            if info_hash in pieces:
                pieces[info_hash] &= ~(1 << index)

    def give_up(self) -> None:
        """Occurs when the cache cannot be read any further."""
        self.expected = dict.fromkeys(self.expected, 0)

    def look(self, *, network_bytes_per_s: float, now_s: float) -> bool:
        """Leave to the cache only what it brings in time; return whether it is less than before."""
        if self.is_over or now_s < self._began_s + self._limits.learn_s:
            return False
        if now_s - self._came_s >= self._limits.stall_s:
            self.give_up()
            return True
        network = network_bytes_per_s or self._limits.network_bytes_per_s
        rate = self._read_bytes / (now_s - self._began_s)
        if rate >= network:
            return False
        return self._keep(self._bytes_of(self._left) * rate / (rate + network))

    def _keep(self, keep_bytes: float) -> bool:
        """Expect no more than so much, of what is read first; return whether that is less than before."""
        kept: dict[InfoHash, Pieces] = dict.fromkeys(self.expected, 0)
        for h, index in self.order:
            if keep_bytes <= 0:
                break
            if self._left[h] >> index & 1:
                kept[h] |= self.expected[h] & 1 << index
                keep_bytes -= self._piece_bytes[h]
        is_less = kept != self.expected
        self.expected = kept
        return is_less

    def _bytes_of(self, pieces: Mapping[InfoHash, Pieces]) -> int:
        return sum(each.bit_count() * self._piece_bytes[h] for h, each in pieces.items())

    def next_wake_s(self, *, now_s: float) -> float:
        """Return when to look again if nothing happens before."""
        return math.inf if self.is_over or self._began_s == math.inf else now_s + self._limits.look_s
