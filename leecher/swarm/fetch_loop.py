"""Drives one node's fetching in trio: waits for it, steps it, and lets others wait for what comes of it.

libtorrent's alerts wake trio through a descriptor, never a polling sleep.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from leecher.origin.nursery import open_nursery
from leecher.origin.threads import caller
from leecher.swarm.fetcher import Fetcher
from leecher.swarm.session import Swarm
from swarmboot.ids import InfoHash
from swarmboot.release.manifest import Artifact

RENAME_S = 30.0

_GATHER_S = 0.04
"""After a first alert, how long to let others gather: waking for every piece costs more than all else at run time."""


class FetchLoop:
    """The steps of one `fetcher`, which must be in a swarm."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.fetcher = fetcher
        self._woken = trio.Event()
        self._turned = trio.Event()
        self._hurried = 0

    async def run(self) -> None:
        """Step until cancelled; raises as `Fetcher.step` does."""
        self.fetcher.inbox.wake = caller(self._wake)
        async with open_nursery() as nursery:
            nursery.start_soon(self._watch_alerts)
            while True:
                self._woken = trio.Event()
                due_s = self.fetcher.step()
                self._turned.set()
                self._turned = trio.Event()
                with trio.move_on_after(due_s):
                    await self._woken.wait()

    def _wake(self) -> None:
        self._woken.set()

    async def _watch_alerts(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._swarm.woken)
            turned = self._turned
            if not self._hurried and not (self.fetcher.reads and self.fetcher.reads.is_waited_for):
                await trio.sleep(_GATHER_S)
            if not turned.is_set():
                self._wake()
                await turned.wait()

    async def until(self, is_so: Callable[[], bool], *, is_urgent: bool = False) -> None:
        """Wait until something is so after a step; if it is urgent, no alerts are let gather meanwhile."""
        self._hurried += is_urgent
        try:
            while not is_so():
                await self._turned.wait()
        finally:
            self._hurried -= is_urgent

    @property
    def _swarm(self) -> Swarm:
        assert self.fetcher.swarm is not None
        return self.fetcher.swarm

    async def add_later(self, artifact: Artifact, torrent: bytes, path: Path) -> None:
        """Begin to fetch one more artifact, at low priority, into the file at `path`; raises as `Swarm.add` does."""
        self._swarm.add(artifact, torrent, path.parent, path.name)
        await self.until(lambda: self._swarm.is_checked(artifact.info_hash), is_urgent=True)
        self.fetcher.add_later(artifact, torrent)

    async def flush(self, info_hash: InfoHash) -> None:
        """Wait until every piece that counts can be read from its file."""
        self._swarm.flush(info_hash)
        await self.until(lambda: self._swarm.is_flushed(info_hash), is_urgent=True)

    async def rename(self, info_hash: InfoHash, file_name: str) -> None:
        """Give a finished artifact's file its final name; it goes on being seeded."""
        self._swarm.rename(info_hash, file_name)
        with trio.fail_after(RENAME_S):
            await self.until(lambda: self._swarm.is_renamed(info_hash), is_urgent=True)
