"""Where a release can come from: the seeder first, neighbours after a head start; the newest that is proved counts.

Attempts are hedged in one nursery and cancelled together; who is asked, and when enough has been heard, is decided in
`leecher.policy.claims`. The seeder's trust errors end the boot; a neighbour's only end that neighbour's chance, because
anybody on the LAN can pretend to be one. Torrents come from whoever has them. While they are read neighbours are still
asked, and a newer release that one of them proves meanwhile takes the place of the one chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import trio

from leecher.boot.head_start import HeadStart
from leecher.neighbour.discovery import Discovery, Found
from leecher.origin.client import Origin
from leecher.origin.nursery import open_nursery
from leecher.origin.threads import caller
from leecher.policy.claims import Address, Claims
from leecher.release.documents import Read, Source, read_release, read_torrents
from leecher.release.neighbour_client import neighbour_reader
from leecher.release.trusted_release import Release, ReleaseRequirements
from swarmboot.backoff import Backoff
from swarmboot.errors import RollbackError, TransferError, TrustError
from swarmboot.ids import Sequence
from swarmboot.release.manifest import Artifact
from swarmboot.settings import NodeSettings
from swarmboot.text.addresses import http_url
from swarmboot.wire.announce import Neighbour

HEAD_START_S = 1.0
ATTEMPT_S = 10.0
"""A neighbour's channel and manifest are there within this time in all, or it is asked again later."""
TORRENTS_S = 30.0
"""A neighbour's release whose torrents nobody has brought for so long is set aside for the next newest."""
_STAGGER_S = 0.05
_PAUSE_S, _PAUSE_MAX_S = 0.25, 8.0

Choose = Callable[[Release], tuple[Artifact, ...]]
"""Returns what this node gets of a release; raises the SwarmbootError that ends the boot."""


@dataclass(frozen=True, slots=True)
class Acquired:
    """A release with its torrents, and the neighbours to dial because no seeder names any.

    A seeder that is there names them itself, a few for each node. All that were heard of would make a full mesh of a
    rack whose seeder is slow to answer, in which a node has no blocks left to ask for (docs/decisions/0024).
    """

    release: Release
    neighbours: tuple[Neighbour, ...]


class ReleaseSearch:
    """Gets the release for one boot, from the server of its settings and from neighbours; `tell` takes lines."""

    def __init__(
        self,
        origin: Origin,
        requirements: ReleaseRequirements,
        *,
        settings: NodeSettings,
        random: Random,
        tell: Callable[[str], None],
        head_start: HeadStart | None = None,
    ) -> None:
        self._origin = origin
        self._requirements = requirements
        self._settings = settings
        self._random = random
        self._tell = tell
        self._head_start = head_start
        self._claims = Claims(random)
        self._found: dict[Address, Found] = {}
        self._asking: dict[Address, trio.CancelScope] = {}
        self._proved: dict[Address, Release] = {}
        self._from_server: Release | None = None
        self._is_read = False
        self._woken = trio.Event()
        self.last_failure: TransferError | None = None

    def hear(self, found: Found) -> None:
        """Take note of a neighbour that answered a probe."""
        address = (found.host, found.presence.port)
        self._found[address] = found
        self._claims.heard(address, found.presence.sequence, now_s=trio.current_time())
        self._wake()

    def _wake(self) -> None:
        self._woken.set()
        self._woken = trio.Event()

    @property
    def neighbours(self) -> tuple[Neighbour, ...]:
        """Return the neighbours heard of so far."""
        return tuple(
            Neighbour(found.host, found.presence.port, found.presence.http_port) for found in self._found.values()
        )

    async def acquire(self, discovery: Discovery, choose: Choose) -> Acquired:
        """Return the newest release that is proved, with the torrents of what `choose` takes of it.

        Raises TrustError if the seeder's release or torrents are not what was signed, and what `choose` raises.
        """
        async with open_nursery() as nursery:
            if self._settings.server:
                nursery.start_soon(self._ask_server)
            nursery.start_soon(self._ask_neighbours, discovery)
            release = await self._settled()
            while not await self._complete(release, choose(release)):
                release = await self._settled()
            self._is_read = True
            nursery.cancel_scope.cancel()
        is_from_server = release is self._from_server
        is_named = is_from_server or self._origin.connections.has_reached(self._settings.server)
        return Acquired(release, () if is_named else self.neighbours)

    async def _settled(self) -> Release:
        """Return the release to take, as soon as it may be taken."""
        while True:
            woken, now_s = self._woken, trio.current_time()
            self._look_at_server(now_s)
            best = self._claims.best()
            if self._from_server is not None:
                newer = self._proved[best[1]] if best and best[0] > self._from_server.standing else None
                return newer or self._from_server
            settles_s = self._claims.settles_s(now_s=now_s)
            if best is not None and settles_s <= now_s:
                return self._proved[best[1]]
            with trio.move_on_at(settles_s):
                await woken.wait()

    def _look_at_server(self, now_s: float) -> None:
        """Take note of what a thread may have learnt: whether the server is there, and what its channel points to."""
        if self._origin.connections.has_reached(self._settings.server):
            self._claims.server_reached(now_s=now_s)
        if self._head_start is not None and self._head_start.pointed is not None:
            self._claims.pointed(self._head_start.pointed)

    async def _complete(self, release: Release, artifacts: tuple[Artifact, ...]) -> bool:
        """Read the torrents; return whether they are there and no newer release has been proved meanwhile."""
        is_whole = False

        async def read() -> None:
            nonlocal is_whole
            if await self._read_all(release, artifacts):
                is_whole = True
                scope.cancel()

        async with open_nursery() as nursery:
            scope = nursery.cancel_scope
            nursery.start_soon(read)
            while not self._is_overtaken(release):
                await self._woken.wait()
            scope.cancel()
        return is_whole

    def _is_overtaken(self, release: Release) -> bool:
        best = self._claims.best()
        newest = [self._from_server.standing] if self._from_server else []
        return max([*newest, *([best[0]] if best else [])], default=release.standing) > release.standing

    async def _read_all(self, release: Release, artifacts: tuple[Artifact, ...]) -> bool:
        """Return whether all torrents are there; not so once a neighbour's release has been set aside."""
        backoff, began_s = self._backoff(), trio.current_time()
        while (failure := await self._try_torrents(artifacts, release.documents)) is not None:
            if isinstance(failure, TrustError) and not self._found:
                raise failure  # the seeder's, and there is nobody else
            if isinstance(failure, TransferError):
                self.last_failure = failure
            if release is not self._from_server and trio.current_time() - began_s >= TORRENTS_S:
                self._claims.set_aside(release.standing, now_s=trio.current_time())
                self._tell(f"{failure}; looking for another release")
                return False
            await trio.sleep(backoff.next_s())
            if release is self._from_server:
                await self._read_server_again()
        return True

    def _backoff(self) -> Backoff:
        return Backoff(self._random, first_s=_PAUSE_S, max_s=_PAUSE_MAX_S)

    async def _try_torrents(
        self, artifacts: tuple[Artifact, ...], documents: dict[str, bytes]
    ) -> TransferError | TrustError | None:
        return await read_torrents(self.sources, artifacts, documents)

    def sources(self) -> list[Source]:
        """Return everybody who may have documents: the server, those who have proved something, the others."""
        server = [Source(self._reader(self._settings.server), lambda _: None)] if self._settings.server else []
        return [
            *server,
            *(Source(self._neighbour(address), partial(self._refuse, address)) for address in self._claims.good()),
        ]

    async def read_torrents(self, artifacts: tuple[Artifact, ...], documents: dict[str, bytes]) -> None:
        """Add the artifacts' torrents to `documents`; raise TransferError or TrustError if nobody has one of them."""
        failure = await self._try_torrents(artifacts, documents)
        if failure is not None:
            raise failure

    def _reader(self, base: str) -> Read:
        async def read(path: str, max_bytes: int) -> bytes:
            return await self._origin.document(f"{base}/{path}", max_bytes=max_bytes)

        return read

    def _neighbour(self, address: Address) -> Read:
        found = self._found[address]
        return neighbour_reader(http_url(found.host, found.presence.http_port), bind=self._settings.bind)

    async def _ask_server(self) -> None:
        backoff, told = self._backoff(), ""
        while self._from_server is None:
            try:
                self._from_server = await self._given() or await self._server_release()
            except TransferError as error:
                self._claims.server_failed()
                self.last_failure = error
                if str(error) != told:
                    self._tell(f"{error}; trying again")
                    told = str(error)
                self._wake()
                await trio.sleep(backoff.next_s())
        self._wake()

    async def _server_release(self) -> Release:
        def pointed(standing: tuple[int, Sequence]) -> None:
            self._claims.pointed(standing)
            self._wake()

        return await read_release(self._reader(self._settings.server), self._requirements, pointed)

    async def _read_server_again(self) -> None:
        """Read the channel again: what it pointed to may have gone since, and a newer release be there."""
        try:
            release = await self._server_release()
        except (TransferError, RollbackError) as error:
            self.last_failure = error if isinstance(error, TransferError) else self.last_failure
            return
        if self._from_server is None or release.standing > self._from_server.standing:
            self._from_server = release
            self._wake()

    async def has_newer(self, release: Release) -> bool:
        """Return whether the server's channel points to a newer release than this one now."""
        try:
            return (await self._server_release()).standing > release.standing
        except (TransferError, RollbackError) as error:
            self._tell(f"{error}; {release.manifest.name} is gone from every origin, and no newer release is there yet")
            return False

    async def _given(self) -> Release | None:
        """Return what the head start has read, once; raises as it did."""
        head_start = self._head_start
        if head_start is None:
            return None
        has_read = trio.Event()

        def look() -> None:
            self._look_at_server(trio.current_time())
            self._wake()
            if head_start.has_read:
                has_read.set()

        head_start.when_read(caller(look))
        await has_read.wait()
        self._head_start = None
        return head_start.release()

    async def _ask_neighbours(self, discovery: Discovery) -> None:
        """Probe after the server's head start, and ask those who answer, several at once."""
        if self._settings.server:
            await trio.sleep(HEAD_START_S)
        async with open_nursery() as nursery:
            nursery.start_soon(lambda: discovery.probe(self.hear, is_done=lambda: self._is_read))
            while True:
                now_s = trio.current_time()
                overtaken = self._claims.overtaken(now_s=now_s)
                if overtaken is not None:
                    self._asking[overtaken].cancel()
                address = self._claims.next_to_ask(now_s=now_s)
                if address is not None:
                    nursery.start_soon(self._ask_one, address)
                if address is None and overtaken is None:
                    with trio.move_on_after(HEAD_START_S):
                        await self._woken.wait()
                await trio.sleep(_STAGGER_S)

    async def _ask_one(self, address: Address) -> None:
        floor = Sequence(max(self._requirements.floor, 1))
        try:
            with trio.move_on_after(ATTEMPT_S) as self._asking[address]:
                release = await read_release(self._neighbour(address), replace(self._requirements, floor=floor))
                self._take(address, release)
            if self._asking.pop(address).cancelled_caught:
                self._claims.failed(address, now_s=trio.current_time())
        except TransferError as error:
            self.last_failure = error
            self._claims.failed(address, now_s=trio.current_time())
        except TrustError as error:
            self._refuse(address, error)
        self._wake()

    def _take(self, address: Address, release: Release) -> None:
        """Take note of what a neighbour has proved, if it is no less than it said."""
        if self._claims.is_too_little(address, release.manifest.sequence):
            self._tell(f"neighbour {address[0]} serves an older release than it says, and is not asked again")
            return
        self._proved[address] = release
        self._claims.proved(address, release.standing, now_s=trio.current_time())

    def _refuse(self, address: Address, error: TrustError) -> None:
        self._claims.refused(address)
        self._tell(f"neighbour {address[0]} is not believed: {error}")
