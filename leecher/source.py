"""Where a release can come from: the seeder first, neighbours after a head start, whichever is valid first.

Attempts are hedged in one nursery and cancelled together. The seeder's trust errors end the boot; a neighbour's only
end that neighbour's chance, because anybody on the LAN can pretend to be one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import trio

from leecher.discovery import Discovery, Found
from leecher.headstart import HeadStart
from leecher.neighbours import neighbour_reader
from leecher.nursery import open_nursery
from leecher.origin import Origin
from leecher.reading import Read, read_release
from leecher.release import Demands, Release
from leecher.threads import caller
from swarmboot.addresses import http_url
from swarmboot.errors import TransferError, TrustError
from swarmboot.ids import Sequence
from swarmboot.wire import Neighbour

HEAD_START_S = 1.0
GATHER_S = 0.3
_BACKOFF_MOST_S = 8.0


@dataclass(frozen=True, slots=True)
class Acquired:
    """A release, the source it came from, and the neighbours to dial because no seeder names any.

    A seeder that is there names them itself, a few for each node. All that were heard of would make a full mesh of a
    rack whose seeder is slow to answer, in which a node has no blocks left to ask for (docs/decisions/0021, 0024).
    """

    release: Release
    read: Read
    neighbours: tuple[Neighbour, ...]


class Acquisition:
    """Gets the release for one boot. `tell` takes lines for the console."""

    def __init__(
        self,
        origin: Origin,
        demands: Demands,
        *,
        server: str,
        bind: str,
        random: Random,
        tell: Callable[[str], None],
        head_start: HeadStart | None = None,
    ) -> None:
        self._origin = origin
        self._demands = demands
        self._server = server
        self._bind = bind
        self._random = random
        self._tell = tell
        self._head_start = head_start
        self._found: dict[tuple[str, int], Found] = {}
        self._heard = trio.Event()
        self._acquired: Acquired | None = None
        self.last_failure: TransferError | None = None

    def hear(self, found: Found) -> None:
        """Take note of a neighbour that answered a probe."""
        self._found[found.host, found.presence.port] = found
        self._heard.set()

    @property
    def neighbours(self) -> tuple[Neighbour, ...]:
        """Return the neighbours heard of so far."""
        return tuple(
            Neighbour(found.host, found.presence.port, found.presence.http_port) for found in self._found.values()
        )

    async def acquire(self, discovery: Discovery) -> Acquired:
        """Return the release as soon as one source has given a valid one; raise TrustError if the seeder's is not."""
        async with open_nursery() as nursery:
            if self._server:
                nursery.start_soon(self._ask_server, nursery.cancel_scope)
            nursery.start_soon(self._ask_neighbours, discovery, nursery.cancel_scope)
        assert self._acquired is not None
        return self._acquired

    def _reader(self, base: str) -> Read:
        async def read(path: str, max_bytes: int) -> bytes:
            return await self._origin.document(f"{base}/{path}", max_bytes=max_bytes)

        return read

    async def _ask_server(self, done: trio.CancelScope) -> None:
        read = self._reader(self._server)
        pause_s, told = 0.25, ""
        while True:
            try:
                release = await self._given() or await read_release(read, self._demands)
                self._acquired = Acquired(release, read, ())
            except TransferError as error:
                self.last_failure = error
                if str(error) != told:
                    self._tell(f"{error}; trying again")
                    told = str(error)
                await trio.sleep(self._random.uniform(0.5, 1.0) * pause_s)
                pause_s = min(_BACKOFF_MOST_S, 2 * pause_s)
            else:
                done.cancel()
                return

    async def _given(self) -> Release | None:
        """Return what the head start has read, once; raises as it did."""
        head_start, self._head_start = self._head_start, None
        if head_start is None:
            return None
        has_read = trio.Event()
        head_start.when_read(caller(has_read.set))
        await has_read.wait()
        return head_start.release()

    async def _ask_neighbours(self, discovery: Discovery, done: trio.CancelScope) -> None:
        """Probe after the server's head start; of those who answer, ask the one with the newest manifest first."""
        if self._server:
            await trio.sleep(HEAD_START_S)
        async with open_nursery() as nursery:
            nursery.start_soon(lambda: discovery.probe(self.hear, is_done=lambda: self._acquired is not None))
            refused: set[tuple[str, int]] = set()
            while True:
                await self._heard.wait()
                self._heard = trio.Event()
                await trio.sleep(GATHER_S)
                for found in sorted(self._found.values(), key=lambda found: -found.presence.sequence):
                    if (found.host, found.presence.port) not in refused and await self._ask_one(found, refused):
                        done.cancel()
                        return

    async def _ask_one(self, found: Found, refused: set[tuple[str, int]]) -> bool:
        read = neighbour_reader(http_url(found.host, found.presence.http_port), bind=self._bind)
        floor = Sequence(max(self._demands.floor, 1))
        demands = replace(self._demands, floor=floor)
        try:
            release = await read_release(read, demands)
        except TransferError as error:
            self.last_failure = error
            return False
        except TrustError as error:
            refused.add((found.host, found.presence.port))
            self._tell(f"neighbour {found.host} is not believed: {error}")
            return False
        is_named = self._origin.connections.has_reached(self._server)
        self._acquired = Acquired(release, read, () if is_named else self.neighbours)
        return True
