"""Carries out what is decided of a cache (`leecher.policy.copying`): what it has is handed in, the rest asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from leecher.cache.plan import CopyPlan
from leecher.cache.reader import CacheReader
from leecher.policy.copying import Copying
from leecher.policy.events import Fact, PieceCopied
from leecher.policy.node_policy import Policy
from leecher.swarm.piece_intake import PieceIntake
from swarmboot.ids import InfoHash, PieceIndex
from swarmboot.release.manifest import Artifact

if TYPE_CHECKING:
    from leecher.swarm.session import Swarm


class Cached:
    """The pieces that a node takes from its cache.

    `post` is given what comes of them, in another thread; `tell` takes lines for the console.
    """

    def __init__(
        self,
        plan: CopyPlan,
        artifacts: Mapping[InfoHash, Artifact],
        policy: Policy,
        intake: PieceIntake,
        *,
        post: Callable[[Fact], None],
        tell: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._artifacts = {h: artifacts[h] for h in plan.pieces}
        self._policy = policy
        self._intake = intake
        self._post = post
        self._tell = tell
        self._copying = Copying(policy.wanted, plan.pieces)
        self._swarm: Swarm | None = None
        self._reader: CacheReader | None = None
        self._under_way: dict[tuple[InfoHash, int], int] = {}
        self._misses = 0
        self._is_slow = False
        policy.expected = self._copying.expected

    def begin(self, swarm: Swarm, layer_of: Callable[[InfoHash], tuple[bytes, ...]], *, now_s: float) -> None:
        """Start reading: every torrent of the swarm takes pieces. `layer_of` returns the hashes of an image's."""
        self._swarm = swarm
        order = [(h, index) for h, index in self._copying.order if not self._policy.have[h] >> index & 1]
        self._reader = CacheReader(self._plan, self._artifacts, layer_of, order, post=self._post)
        self._copying.began(now_s=now_s)
        self._leave()
        self._reader.begin()

    def hear(self, fact: PieceCopied, *, now_s: float) -> None:
        """Hand in a piece, or have others asked for it."""
        assert self._swarm is not None
        assert self._reader is not None
        h, index = fact.info_hash, fact.index
        is_there = bool(self._policy.have[h] >> index & 1)
        if fact.data is not None and is_there:
            self._reader.done(len(fact.data))
        elif fact.data is not None:
            self._copying.came(h, now_s=now_s)
            self._under_way[h, index] = len(fact.data)
            self._intake.copied(self._swarm, h, index, fact.data, now_s=now_s)
        elif not is_there:
            self._misses += 1
            self._copying.settled(h, index)
            if fact.is_last:
                self._copying.give_up()
            self._leave()

    def arrived(self, info_hash: InfoHash, index: PieceIndex) -> None:
        """Take note of a piece that is there, wherever it came from."""
        self._copying.settled(info_hash, index)
        if self._reader is not None and self._under_way.get((info_hash, index)) is None:
            self._reader.skip(info_hash, index)
        self._free(info_hash, index)

    def failed(self, info_hash: InfoHash, index: PieceIndex) -> None:
        """Take note of a piece that libtorrent does not take for right."""
        if self._free(info_hash, index):
            self._copying.settled(info_hash, index)
            self._leave()

    def _free(self, info_hash: InfoHash, index: PieceIndex) -> bool:
        size_bytes = self._under_way.pop((info_hash, index), None)
        if size_bytes is not None and self._reader is not None:
            self._reader.done(size_bytes)
        return size_bytes is not None

    def step(self, *, network_bytes_per_s: float, now_s: float) -> float:
        """Give up what the cache does not bring in time; return when to look again."""
        if self._copying.look(network_bytes_per_s=network_bytes_per_s, now_s=now_s):
            if not self._is_slow:
                self._tell("the cache reads slower than the network; fetching as well")
            self._is_slow = True
            self._leave()
        return self._copying.next_wake_s(now_s=now_s)

    def _leave(self) -> None:
        """Have neighbours asked for what is not expected, and the seeder told."""
        assert self._swarm is not None
        self._policy.expected = expected = dict(self._copying.expected)
        for h, artifact in self._artifacts.items():
            self._swarm.leave(artifact, expected.get(h, 0))
        self._policy.tell_soon()

    def close(self) -> None:
        """Read nothing further, and say so if the cache was not what it should have been."""
        if self._misses:
            self._tell(f"{self._misses} pieces of the cache were not what they should have been; fetched instead")
            self._misses = 0
        if self._reader is not None:
            self._reader.close()
        else:
            self._plan.folder.close()
