"""What the whole swarm has of a torrent, and what of it is on its way. Values only; the registry keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarmboot.ids import InfoHash, NodeId
from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces


@dataclass(frozen=True, slots=True)
class Torrent:
    """One artifact that nodes swap: its size and pieces, and those of them that a boot reads."""

    info_hash: InfoHash
    size_bytes: int
    piece_bytes: int
    boot_set: Pieces = 0

    @property
    def count(self) -> int:
        """Return the number of pieces."""
        return piece_set.piece_count(self.size_bytes, self.piece_bytes)


@dataclass(slots=True)
class TorrentState:
    """What the whole swarm has of one torrent.

    `held` is what any node has that is believed, `fetched` what nodes still booting have; `seeds` have all of it,
    `fetchers` are still booting, and `known` are those of them that have credit. `all` is the set of all its pieces.
    `leased` is on its way from an origin; of that, nobody has asked for the bytes of `unbegun`, and for too long not
    for those of `idle`. `sent` is what leases have brought.
    """

    torrent: Torrent
    all: Pieces = field(init=False)
    held: Pieces = 0
    fetched: Pieces = 0
    leased: Pieces = 0
    unbegun: Pieces = 0
    idle: Pieces = 0
    sent: Pieces = 0
    seeds: set[NodeId] = field(default_factory=set)
    fetchers: set[NodeId] = field(default_factory=set)
    known: set[NodeId] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.all = piece_set.all_pieces(self.torrent.count)

    def release(self, freed: Pieces) -> None:
        """Record that these pieces are leased to nobody."""
        self.leased &= ~freed
        self.unbegun &= ~freed
        self.idle &= ~freed
