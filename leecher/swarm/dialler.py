"""Whom a node connects to in its swarm: whom the seeder names and who is found on the LAN, but nobody who has lied."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from leecher.swarm.counters import BootCounters
from swarmboot.ids import InfoHash
from swarmboot.text.addresses import is_dialable
from swarmboot.wire.announce import Neighbour
from swarmboot.wire.report import BANS_MAX

if TYPE_CHECKING:
    from leecher.swarm.session import Swarm

START_S = 0.3
"""How long a node that can be dialled waits for neighbours to dial before it begins with none."""


class Dialler:
    """Connects the torrents of `info_hashes`, which may grow, to neighbours.

    `is_here` says whether this node is on the loopback interface itself. `tell` takes lines for the console.
    """

    def __init__(
        self,
        info_hashes: Collection[InfoHash],
        counters: BootCounters,
        *,
        is_here: bool,
        tell: Callable[[str], None],
    ) -> None:
        self.is_dialling = False
        self._counters = counters
        self._info_hashes = info_hashes
        self._is_here = is_here
        self._tell = tell
        self._swarm: Swarm | None = None
        self._alone_at_s = 0.0
        self._met: set[Neighbour] = set()
        self._known: set[Neighbour] = set()
        self._liars: set[str] = set()

    def use(self, swarm: Swarm) -> None:
        """Connect in this swarm from now on."""
        self._swarm = swarm

    def strangers(self, neighbours: tuple[Neighbour, ...]) -> tuple[Neighbour, ...]:
        """Return those found on the LAN that were not found before."""
        found = tuple(neighbour for neighbour in neighbours if neighbour not in self._met)
        self._met.update(found)
        return found

    def begin_soon(self, now_s: float) -> None:
        """Begin without neighbours in a moment, unless some are named until then."""
        self._alone_at_s = now_s + START_S

    def due_s(self, next_s: float) -> float:
        """Return when `step` has something to do, no later than `next_s`."""
        return min(next_s, self._alone_at_s or next_s)

    def step(self, now_s: float) -> None:
        """Begin without neighbours if it is time."""
        if self._alone_at_s and now_s >= self._alone_at_s:
            self.dial(())

    def dial(self, neighbours: tuple[Neighbour, ...]) -> None:
        """Connect to neighbours, the first of them at once; not to those that have lied."""
        if self._swarm is None:
            return
        neighbours = tuple(each for each in neighbours if self._is_worth_dialling(each))
        self._known.update(neighbours)
        for info_hash in self._info_hashes:
            if self.is_dialling:
                self._swarm.connect(info_hash, neighbours)
            else:
                self._swarm.start(info_hash, neighbours)
        self.is_dialling = True
        self._alone_at_s = 0.0

    def start(self, info_hash: InfoHash) -> None:
        """Begin one more torrent, with all who are known."""
        assert self._swarm is not None
        self._swarm.start(info_hash, tuple(self._known))

    def ban(self, host: str) -> None:
        """Have nothing to do any more with a neighbour that has sent corrupt blocks, and say so once."""
        if host not in self._liars:
            self._liars.add(host)
            if self._swarm is not None:
                self._swarm.refuse(host)
            self._counters.bans = (*self._counters.bans, host)[:BANS_MAX]
            self._tell(f"neighbour {host} sent corrupt blocks and is not asked again")

    def _is_worth_dialling(self, neighbour: Neighbour) -> bool:
        return neighbour.host not in self._liars and is_dialable(neighbour.host, is_here=self._is_here)
