"""A release's torrents as the simulation sees them: names, pieces, piece lengths, and how nodes swap them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

from netsim.scenario.scenario import Release
from netsim.swap.exchange import PeerModel
from swarmboot.ids import InfoHash
from swarmboot.release.piece_set import piece_bytes_for, piece_count

_QUEUE_BYTES = 256 * 1024
"""What a node of a large fleet requests ahead of one neighbour at least, for the simulation's speed."""
_MAX_QUEUE = 32
_BUSY_FLOWS = 4


@dataclass(frozen=True, slots=True)
class Image:
    """One torrent: a file and its pieces; only the last piece may be shorter."""

    info_hash: InfoHash
    size_bytes: int
    piece_bytes: int

    @property
    def count(self) -> int:
        """Return the number of pieces."""
        return piece_count(self.size_bytes, self.piece_bytes)

    def span_bytes(self, first: int, count: int) -> int:
        """Return the bytes of a run of pieces."""
        return min((first + count) * self.piece_bytes, self.size_bytes) - first * self.piece_bytes


class Torrents:
    """The images of a release in order."""

    def __init__(self, release: Release, *, piece_bytes_of: Callable[[int], int] = piece_bytes_for) -> None:
        """Cut each image into pieces of the release's length, or else of `piece_bytes_of` its size."""
        self.images = tuple(
            Image(
                InfoHash(hashlib.sha256(b"image %d" % index).digest()),
                size,
                release.piece_bytes or piece_bytes_of(size),
            )
            for index, size in enumerate(release.images)
        )
        self._indices = {image.info_hash: index for index, image in enumerate(self.images)}

    @property
    def shape(self) -> tuple[tuple[int, int], ...]:
        """Return pieces and piece length of each, as `PieceExchange` takes them."""
        return tuple((image.count, image.piece_bytes) for image in self.images)

    def index_of(self, info_hash: InfoHash) -> int:
        """Return a torrent's index in the release."""
        return self._indices[info_hash]

    def named(self, info_hash: InfoHash) -> Image:
        """Return a torrent by its info-hash."""
        return self.images[self._indices[info_hash]]

    def peer_model(self, nodes: int, *, tick_bytes: float) -> PeerModel:
        """Return how our leechers swap; the larger the fleet, the coarser.

        A real node asks each neighbour for one piece ahead, whose next block is asked for as one comes. A flow here
        asks anew once an epoch, so it asks for as many pieces as it could receive in the shortest one, in which a link
        carries `tick_bytes`: a quarter of them, for no more than a few neighbours have something new at any moment.
        """
        piece_bytes = self.images[0].piece_bytes
        of_tick = min(_MAX_QUEUE, math.ceil(tick_bytes / max(1, min(_BUSY_FLOWS, nodes - 1)) / piece_bytes))
        if nodes <= 100:
            return PeerModel(flows=20, queue=of_tick, unit=1)
        few = min(_MAX_QUEUE, max(1, _QUEUE_BYTES // piece_bytes))
        if nodes <= 1000:
            return PeerModel(flows=8, queue=max(few, of_tick), unit=few)
        return PeerModel(flows=6, queue=max(2 * few, of_tick), unit=2 * few)
