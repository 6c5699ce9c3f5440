"""The way of a piece from an origin into libtorrent: held until there is a swarm, handed in, counted, handed in again.

Whether a piece counts is libtorrent's word alone: it comes as PieceFinished or PieceFailed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from leecher.policy.events import PieceReceived
from leecher.policy.node_policy import Policy
from leecher.swarm.counters import BootCounters
from swarmboot.errors import ArtifactError, ResourceError
from swarmboot.ids import InfoHash, Sequence
from swarmboot.release.manifest import Artifact

if TYPE_CHECKING:
    from leecher.swarm.session import Swarm

HELD_MAX_BYTES = 32 << 20
"""So much may wait in memory for libtorrent to be there."""
CACHE = "cache"
"""Stands for an origin's address at what came from this machine's own cache."""
_FAILURES_OF_A_PIECE = 3
_REFUSALS_OF_A_PIECE = 3
_SILENCE_S = 20.0
"""So long after the first time: a node that is slow beside its seeder is leased what it is still verifying again."""


class PieceIntake:
    """Hands in the pieces of `artifacts`, which may grow. What is added later does not end the boot if it is wrong."""

    def __init__(
        self, artifacts: Mapping[InfoHash, Artifact], policy: Policy, counters: BootCounters, sequence: Sequence
    ) -> None:
        self._artifacts = artifacts
        self._needed = frozenset(artifacts)
        self._policy = policy
        self._counters = counters
        self._sequence = sequence
        self._swarm: Swarm | None = None
        self._held: list[PieceReceived] = []
        self._held_bytes = 0
        self._arriving: dict[tuple[InfoHash, int], str] = {}
        self._failed: dict[tuple[InfoHash, int], int] = {}
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
        """Hand a piece in, or hold it until there is a swarm; raises ResourceError if libtorrent does not take it."""
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
        self._arriving[info_hash, piece.index] = piece.piece_range.origin
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

    def copied(self, swarm: Swarm, info_hash: InfoHash, index: int, data: bytes) -> None:
        """Hand in a piece from the cache, which was proved before."""
        self._counters.from_cache_bytes += len(data)
        self._arriving[info_hash, index] = CACHE
        swarm.insert(info_hash, index, data)

    def finished(self, info_hash: InfoHash, index: int) -> None:
        """Count a piece that libtorrent has found right."""
        if self._arriving.pop((info_hash, index), None) is None:
            artifact = self._artifacts[info_hash]
            size_bytes = min(artifact.piece_bytes, artifact.size_bytes - index * artifact.piece_bytes)
            self._counters.whole_from_neighbours_bytes += size_bytes
        self._failed.pop((info_hash, index), None)
        self._handed_in.pop((info_hash, index), None)

    def count(self) -> None:
        """Count the bytes that are there, wherever they came from."""
        self._counters.have_bytes = sum(
            min(each.size_bytes, self._policy.have[h].bit_count() * each.piece_bytes)
            for h, each in self._artifacts.items()
        )

    def failed(self, info_hash: InfoHash, index: int, *, now_s: float) -> None:
        """Count a bad piece; raises ArtifactError for one that origins keep sending wrong."""
        self._counters.hash_failures += 1
        self._handed_in.pop((info_hash, index), None)
        origin = self._arriving.pop((info_hash, index), None)
        if origin is None or origin == CACHE:
            return
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
