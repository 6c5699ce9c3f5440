"""A release's torrents as the simulation sees them: names, pieces, piece lengths, and how nodes swap them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

from netsim.exchange import Habits
from netsim.scenario import Release
from swarmboot.ids import InfoHash
from swarmboot.pieces import piece_bytes_for

_QUEUE_BYTES = 256 * 1024
"""What a node of a large fleet requests ahead of one neighbour, for the simulation's speed."""


@dataclass(frozen=True, slots=True)
class Image:
    """One torrent: a file and its pieces; only the last piece may be shorter."""

    info_hash: InfoHash
    size_bytes: int
    piece_bytes: int

    @property
    def count(self) -> int:
        """Return the number of pieces."""
        return -(-self.size_bytes // self.piece_bytes)

    def span_bytes(self, first: int, count: int) -> int:
        """Return the bytes of a run of pieces."""
        return min((first + count) * self.piece_bytes, self.size_bytes) - first * self.piece_bytes


class Torrents:
    """The images of a release in order."""

    def __init__(self, release: Release, *, piece_bytes_of: Callable[[int], int] = piece_bytes_for) -> None:
        """Cut each image into pieces of the release's length, or else of `piece_bytes_of` its size."""
        self.images = tuple(
            Image(
                InfoHash(hashlib.sha256(b"image %d" % place).digest()),
                size,
                release.piece_bytes or piece_bytes_of(size),
            )
            for place, size in enumerate(release.images)
        )
        self._places = {image.info_hash: place for place, image in enumerate(self.images)}

    @property
    def shape(self) -> tuple[tuple[int, int], ...]:
        """Return pieces and piece length of each, as `PieceExchange` takes them."""
        return tuple((image.count, image.piece_bytes) for image in self.images)

    def place_of(self, info_hash: InfoHash) -> int:
        """Return a torrent's place in the order."""
        return self._places[info_hash]

    def named(self, info_hash: InfoHash) -> Image:
        """Return a torrent by its info-hash."""
        return self.images[self._places[info_hash]]

    def habits(self, nodes: int, *, tick_bytes: float) -> Habits:
        """Return how our leechers swap; the larger the fleet, the coarser.

        A real node asks each neighbour for one piece ahead, whose next block is asked for as one comes. A flow here
        asks anew once an epoch, so it asks for as many pieces as `tick_bytes`, what a link carries in the shortest
        epoch, are for each of its flows.
        """
        queue = min(32, max(1, _QUEUE_BYTES // self.images[0].piece_bytes))
        if nodes <= 100:
            of_tick = math.ceil(tick_bytes / max(1, min(20, nodes - 1)) / self.images[0].piece_bytes)
            return Habits(flows=20, queue=min(queue, of_tick), unit=1)
        if nodes <= 1000:
            return Habits(flows=8, queue=queue, unit=queue)
        return Habits(flows=6, queue=2 * queue, unit=2 * queue)
