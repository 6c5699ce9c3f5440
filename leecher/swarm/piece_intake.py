"""The way of a piece from an origin into libtorrent: held until there is a swarm, handed in, counted, handed in again.

Whether a piece counts is libtorrent's word alone: it comes as PieceFinished or PieceFailed. Whose fault one is that
failed it cannot say: blocks of it that a lying neighbour has sent stay when an origin's piece is handed in. So from the
first failure on what comes from origins is proved here, and an origin is blamed only for what is wrong by that proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leecher.cache.reader import hash_of
from leecher.policy.events import PieceReceived
from leecher.policy.node_policy import Policy
from leecher.swarm.counters import BootCounters
from swarmboot.errors import ArtifactError, ResourceError
from swarmboot.ids import InfoHash, Sequence
from swarmboot.release.manifest import Artifact
from swarmboot.release.piece_set import Pieces

if TYPE_CHECKING:
    from leecher.swarm.session import Swarm

HELD_MAX_BYTES = 32 << 20
"""So much may wait in memory for libtorrent to be there."""
CACHE = "cache"
"""Stands for an origin's address at what came from this machine's own cache."""
_FAILURES_OF_A_PIECE = 3
_SPOILED_MAX = 12
"""So often may the right bytes of a piece fail: by then it is not neighbours any more that spoil them."""
_REFUSALS_OF_A_PIECE = 3
BEHIND_S = 1.0
"""A node whose pieces wait so long to be verified, and are as many as it may hold, asks for no more."""
_BELIEVED_S, _BELIEVED_MAX_S = 5.0, 30.0
"""So long a piece that was handed in is taken for one that is going to be there, and while others are found right."""
_SILENCE_S = 20.0
"""So long after the first time: a node that is slow beside its seeder is leased what it is still verifying again."""


@dataclass(frozen=True, slots=True)
class _HandedIn:
    """Who sent a piece that libtorrent is verifying, how large it is, and since when."""

    origin: str
    size_bytes: int
    since_s: float


class PieceIntake:
    """Hands in the pieces of `artifacts`, which may grow. What is added later does not end the boot if it is wrong.

    `layer_of` returns the hashes of an artifact's pieces, and is asked once there is a swarm.
    """

    def __init__(
        self,
        artifacts: Mapping[InfoHash, Artifact],
        policy: Policy,
        counters: BootCounters,
        sequence: Sequence,
        layer_of: Callable[[InfoHash], tuple[bytes, ...]],
    ) -> None:
        self._artifacts = artifacts
        self._needed = frozenset(artifacts)
        self._policy = policy
        self._counters = counters
        self._sequence = sequence
        self._layer_of = layer_of
        self._layers: dict[InfoHash, tuple[bytes, ...]] = {}
        self._swarm: Swarm | None = None
        self._held: list[PieceReceived] = []
        self._held_bytes = 0
        self._arriving: dict[tuple[InfoHash, int], _HandedIn] = {}  # the earliest first
        self._failed: dict[tuple[InfoHash, int], int] = {}
        self._spoiled: dict[tuple[InfoHash, int], int] = {}
        self._handed_in: dict[tuple[InfoHash, int], tuple[int, float]] = {}

    @property
    def has_room(self) -> bool:
        """Return whether more may be fetched while there is no swarm."""
        return self._held_bytes < HELD_MAX_BYTES

    def open(self, swarm: Swarm, *, now_s: float) -> None:
        """Hand in what is held, and what comes from now on at once; every torrent of the swarm must take pieces."""
        self._swarm = swarm
        held, self._held = self._held, []
        for piece in held:
            self._insert(swarm, piece, now_s)

    def received(self, piece: PieceReceived, *, now_s: float) -> None:
        """Hand a piece in, or hold it until there is a swarm.

        Raises ResourceError if libtorrent does not take it, ArtifactError if origins keep sending another.
        """
        self._counters.from_origin_bytes += len(piece.data)
        if self._swarm is not None:
            self._insert(self._swarm, piece, now_s)
        else:
            self._held.append(piece)
            self._held_bytes += len(piece.data)

    def _insert(self, swarm: Swarm, piece: PieceReceived, now_s: float) -> None:
        info_hash = piece.piece_range.info_hash
        if self._policy.have[info_hash] >> piece.index & 1:
            return
        if self._counters.hash_failures and not self._is_right(info_hash, piece.index, piece.data):
            self._blame(piece.piece_range.origin, info_hash, piece.index, now_s=now_s)
            return
        self._hand_in(info_hash, piece.index, piece.piece_range.origin, len(piece.data), now_s)
        times, since_s = self._handed_in.get((info_hash, piece.index), (0, now_s))
        self._handed_in[info_hash, piece.index] = (times + 1, since_s)
        if times >= _REFUSALS_OF_A_PIECE and now_s - since_s >= _SILENCE_S:
            raise ResourceError(
                f"libtorrent takes piece {piece.index} of {self._artifacts[info_hash].name} for nothing",
                expected="the piece verified, or found wrong",
                found=f"no word of it after {times} times in {now_s - since_s:.0f} s",
                hint="run `swarmboot hook build-runtime`, whose self-test tries this",
            )
        swarm.insert(info_hash, piece.index, piece.data)

    def _hand_in(self, info_hash: InfoHash, index: int, origin: str, size_bytes: int, now_s: float) -> None:
        self._arriving.pop((info_hash, index), None)
        self._arriving[info_hash, index] = _HandedIn(origin, size_bytes, now_s)

    def tell(self, *, now_s: float) -> None:
        """Tell the policy which pieces are being verified, and whether there is room for more of them."""
        believed_s = _BELIEVED_MAX_S if self._policy.idle_s(now_s=now_s) < _BELIEVED_S else _BELIEVED_S
        in_hand: dict[InfoHash, Pieces] = {}
        waiting_bytes, waited_s = 0, 0.0
        for (info_hash, index), piece in self._arriving.items():
            age_s = now_s - piece.since_s
            if age_s >= believed_s:
                continue
            in_hand[info_hash] = in_hand.get(info_hash, 0) | 1 << index
            if piece.origin != CACHE:
                waiting_bytes += piece.size_bytes
                waited_s = max(waited_s, age_s)
        has_room = waiting_bytes < HELD_MAX_BYTES or waited_s < BEHIND_S
        self._policy.has_in_hand(in_hand, has_room=has_room, now_s=now_s)

    def copied(self, swarm: Swarm, info_hash: InfoHash, index: int, data: bytes, *, now_s: float) -> None:
        """Hand in a piece from the cache, which was proved before."""
        self._counters.from_cache_bytes += len(data)
        self._hand_in(info_hash, index, CACHE, len(data), now_s)
        swarm.insert(info_hash, index, data)

    def finished(self, info_hash: InfoHash, index: int) -> None:
        """Count a piece that libtorrent has found right."""
        if self._arriving.pop((info_hash, index), None) is None:
            artifact = self._artifacts[info_hash]
            size_bytes = min(artifact.piece_bytes, artifact.size_bytes - index * artifact.piece_bytes)
            self._counters.whole_from_neighbours_bytes += size_bytes
        for noted in (self._failed, self._spoiled, self._handed_in):
            noted.pop((info_hash, index), None)

    def count(self) -> None:
        """Count the bytes that are there, wherever they came from."""
        self._counters.have_bytes = sum(
            min(each.size_bytes, self._policy.have[h].bit_count() * each.piece_bytes)
            for h, each in self._artifacts.items()
        )

    def failed(self, info_hash: InfoHash, index: int) -> None:
        """Count a bad piece; raises ResourceError for one that fails again and again although it came right."""
        self._counters.hash_failures += 1
        self._handed_in.pop((info_hash, index), None)
        piece = self._arriving.pop((info_hash, index), None)
        if piece is None or piece.origin == CACHE:
            return
        spoiled = self._spoiled[info_hash, index] = self._spoiled.get((info_hash, index), 0) + 1
        if spoiled >= _SPOILED_MAX and info_hash in self._needed:
            raise ResourceError(
                f"piece {index} of {self._artifacts[info_hash].name} is spoiled on this machine",
                expected="the bytes verified that an origin has sent",
                found=f"{spoiled} times other ones",
                hint="test its memory, and look for neighbours that send corrupt blocks",
            )

    def _is_right(self, info_hash: InfoHash, index: int, data: bytes) -> bool:
        if info_hash not in self._layers:
            self._layers[info_hash] = self._layer_of(info_hash)
        return hash_of(data, self._artifacts[info_hash]) == self._layers[info_hash][index]

    def _blame(self, origin: str, info_hash: InfoHash, index: int, *, now_s: float) -> None:
        """Count wrong bytes of an origin; raises ArtifactError for a piece that origins keep sending wrong."""
        self._counters.hash_failures += 1
        self._policy.origin_failed(origin, now_s=now_s)
        failures = self._failed[info_hash, index] = self._failed.get((info_hash, index), 0) + 1
        if failures >= _FAILURES_OF_A_PIECE and info_hash in self._needed:
            artifact = self._artifacts[info_hash]
            raise ArtifactError(
                f"the origin serves other bytes of {artifact.name} than were signed",
                expected=f"piece {index} as in manifest {self._sequence}",
                found=f"{failures} times another",
                hint="run `swarmboot verify` on the site",
            )
