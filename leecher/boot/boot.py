"""One node's boot: from settings to verified images, and on as a neighbour.

Orders the steps: trust, release, profile, space, swarm, verification. What is decided is decided elsewhere
(`leecher.policy.node_policy`, `swarmboot.release.trust`, `swarmboot.release.profile`).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from random import Random

import trio

from leecher.boot.acquisition import Acquired, Acquisition
from leecher.boot.head_start import HeadStart
from leecher.boot.reporting import FirstWord, Reporter
from leecher.boot.secret_settings import SecretSettings
from leecher.boot.selection import choose
from leecher.boot.trusted_release import Release, demands_of
from leecher.machine.addresses import changes
from leecher.neighbour.discovery import Discovery, Found
from leecher.neighbour.http_server import Door
from leecher.neighbour.stage0 import Stage0Neighbour, stage0_faults
from leecher.origin.client import Origin
from leecher.origin.connection_pool import Connections, tls_context
from leecher.origin.nursery import open_nursery
from leecher.origin.threads import in_thread
from leecher.policy.lookout import Lookout
from leecher.swarm.checksum import RunningChecksum
from leecher.swarm.counters import open_ledger
from leecher.swarm.fetch_loop import Rounds
from leecher.swarm.fetcher import LEAVE_S, Fetching
from leecher.swarm.places import PARTIAL
from leecher.swarm.progress import Progress, metrics
from leecher.swarm.session import Swarm
from swarmboot.errors import ArtifactError, MalformedSettingError, StalledError, SwarmbootError, TransferError
from swarmboot.ids import new_node_id
from swarmboot.release.key_files import read_trust
from swarmboot.release.manifest import Artifact, Manifest
from swarmboot.release.profile import Selection
from swarmboot.release.trust import KeySet
from swarmboot.settings import NodeSettings
from swarmboot.wire.announce import Neighbour
from swarmboot.wire.discovery import Presence, Probe

_AGAIN_S, _AGAIN_MOST_S = 1.0, 30.0
_LOOK_S = 0.25
"""How often a node looks whether it must find neighbours itself, and whom of those it has heard of it dials."""


class Boot:
    """One boot with one set of settings. `tell` takes lines for the console.

    It must be whole by `ends_s` on the monotonic clock.

    `first_word` is what the neighbour in a booted system has to say to the seeder, in place of reports of its own.
    `head_start` is what has been asked before there was a boot. `is_unpacked` asks for room to unpack the images in
    RAM, which the initramfs hook is going to do. `credentials` say as whom to announce, if an earlier boot left some.
    """

    def __init__(
        self,
        settings: NodeSettings,
        *,
        started_s: float,
        ends_s: float = math.inf,
        tell: Callable[[str], None],
        head_start: HeadStart | None = None,
        is_unpacked: bool = False,
        credentials: str = "",
        first_word: FirstWord | None = None,
    ) -> None:
        _check(settings)
        self.settings = settings
        self.ledger = (
            head_start.ledger
            if head_start
            else open_ledger(settings, started_s=started_s, credentials=credentials, tell=tell)
        )
        self._tell = tell
        self._ends_s = ends_s
        self._reporter = Reporter(settings, self.ledger, first_word)
        self._is_unpacked = is_unpacked
        self._head_start = head_start
        self._random = head_start.random if head_start else Random(self.ledger.node)
        self._fetching: Fetching | None = None
        self._presence: Presence | None = None
        self._name_on_lan = new_node_id()
        self._acquisition: Acquisition | None = None
        self._door: Door | None = None
        self._is_again = False
        self._secret_settings: SecretSettings | None = None
        self.manifest: Manifest | None = None
        self.selection: Selection | None = None

    async def run(self, stop: trio.Event) -> None:
        """Boot, report, and go on seeding if the settings say so, until `stop`.

        Raises the error that ended the boot, after it has been reported.
        """
        settings = self.settings
        trusted = read_trust(settings.trust)
        settings.into.mkdir(parents=True, exist_ok=True)
        given = self._head_start.connections if self._head_start else None
        with closing(given or Connections(tls_context(settings.ca), bind=settings.bind)) as connections:
            origin = Origin(connections)
            try:
                await self._run(origin, trusted, stop)
            except SwarmbootError as error:
                await self._reporter.report(origin, self.ledger.report(error))
                raise
            finally:
                if self._head_start is not None:
                    self._head_start.abandon()
                if self._fetching is not None:
                    self._fetching.close()

    async def _run(self, origin: Origin, trusted: KeySet, stop: trio.Event) -> None:
        ends_s = trio.current_time() + self._ends_s - time.monotonic()
        is_whole = False
        while not (is_whole or stop.is_set()):
            async with open_nursery() as nursery:

                async def watch_stop(scope: trio.CancelScope = nursery.cancel_scope) -> None:
                    await stop.wait()
                    scope.cancel()

                nursery.start_soon(watch_stop)
                with trio.move_on_at(ends_s) as deadline:
                    is_whole = await self._fetch(origin, trusted, nursery)
                if deadline.cancelled_caught:
                    raise self._overdue()
                if is_whole and self.settings.neighbour:
                    self._tell("complete; seeding to neighbours until stopped")
                    await stop.wait()
                nursery.cancel_scope.cancel()
            await self._leave()
            if not (is_whole or stop.is_set()):
                await self._start_over()

    async def _start_over(self) -> None:
        """Close what was begun with a release that is gone, but keep its images: the next may have some of them."""
        self._tell(
            "what this release names is gone from every origin, and there is a newer one: starting over with that"
        )
        assert self._fetching is not None
        assert self._door is not None
        self._presence, self._is_again = None, True
        self._fetching.close()
        await trio.to_thread.run_sync(self._door.close)

    async def _leave(self) -> None:
        """Tell the seeder that this node goes away, if it listens within a second."""
        question = self._fetching.leave() if self._fetching else None
        if question is not None:
            with suppress(TransferError), trio.move_on_after(LEAVE_S):
                await in_thread(question)

    def _overdue(self) -> TransferError:
        """Return why the boot did not end in time: how the last transfer failed, if one did."""
        last: Fetching | Acquisition | SecretSettings | None = self._fetching or self._acquisition
        if self._secret_settings is not None and not self._secret_settings.written.is_set():
            last = self._secret_settings
        for each in (last, self._head_start):
            if each is not None and each.last_failure is not None:
                return each.last_failure
        limit = f"an end within {self.settings.timeout:g} s"
        return StalledError("the boot took longer than swarmboot.timeout allows", expected=limit, found="none")

    async def _fetch(self, origin: Origin, trusted: KeySet, nursery: trio.Nursery) -> bool:
        """Bring the node from nothing to verified, reported images; return whether it did not find them gone."""
        self.ledger.end_phase("leecher_start")
        nursery.start_soon(self._reporter.say_first_word, origin)
        discovery = self._discovery(trusted)
        acquired = await self._acquire(origin, trusted, discovery, nursery)
        selection = self.selection
        assert selection is not None
        self._compare_stage0(acquired.release.manifest)
        self.ledger.end_phase("manifest")
        self._secret_settings = secrets = self._secrets(acquired.release.manifest, selection)
        nursery.start_soon(secrets.fetch, origin)
        fetching, rounds = self._join(origin, selection, acquired.release)
        nursery.start_soon(rounds.run)
        await rounds.until(lambda: fetching.has_joined, is_urgent=True)
        self._presence = Presence(self._name_on_lan, acquired.release.manifest.sequence, *fetching.ports)
        fetching.meet(acquired.neighbours)
        progress = Progress(self.settings.progress, self.ledger, fetching)
        nursery.start_soon(self._show, progress)
        nursery.start_soon(self._meet, discovery, fetching)
        nursery.start_soon(self._move, discovery, fetching)
        checksums = await self._wait_and_check(selection, rounds, acquired.release)
        if checksums is None:
            return False
        self.ledger.end_phase("images")
        for artifact, checksum in zip(selection.artifacts, checksums, strict=True):
            await self._hand_over(rounds, artifact, checksum)
        await secrets.written.wait()
        self.ledger.end_phase("verification")
        progress.finish()
        await self._reporter.report(origin, self.ledger.report())
        if self.settings.neighbour:
            nursery.start_soon(self._stage0_neighbour(acquired, rounds).run)
        return True

    def _secrets(self, manifest: Manifest, selection: Selection) -> SecretSettings:
        return SecretSettings(
            manifest, selection, self.settings, self.ledger, random=self._random, tell=self._tell
        )  # fmt: skip

    async def _wait_and_check(
        self, selection: Selection, rounds: Rounds, release: Release
    ) -> list[RunningChecksum] | None:
        """Wait until every piece is there, and take the images' checksums meanwhile.

        Returns None once they are gone from every origin and the server has a newer release.
        """
        fetching = rounds.fetching
        async with open_nursery() as readers:
            checksums = [RunningChecksum(each, fetching.places.path(each.info_hash)) for each in selection.artifacts]
            for artifact, checksum in zip(selection.artifacts, checksums, strict=True):
                h = artifact.info_hash
                readers.start_soon(checksum.follow, partial(fetching.have, h), partial(rounds.flush, h))
            is_replaced = trio.Event()
            if self.settings.server:
                readers.start_soon(self._watch_release, release, rounds, is_replaced)
            await rounds.until(lambda: fetching.is_complete or is_replaced.is_set())
            readers.cancel_scope.cancel()
        return checksums if fetching.is_complete else None

    async def _watch_release(self, release: Release, rounds: Rounds, is_replaced: trio.Event) -> None:
        """Read the channel again while no origin has what the manifest names, ever less often."""
        assert self._acquisition is not None
        pause_s = _AGAIN_S
        while not is_replaced.is_set():
            await trio.sleep(self._random.uniform(0.5, 1.0) * pause_s)
            pause_s = min(_AGAIN_MOST_S, 2 * pause_s) if rounds.fetching.is_gone else _AGAIN_S
            if rounds.fetching.is_gone and await self._acquisition.has_newer(release):
                is_replaced.set()
        rounds.fetching.wake()

    def _stage0_neighbour(self, acquired: Acquired, rounds: Rounds) -> Stage0Neighbour:
        assert self._door is not None
        assert self._acquisition is not None
        return Stage0Neighbour(
            manifest=acquired.release.manifest,
            documents=acquired.release.documents,
            read_torrents=self._acquisition.read_torrents,
            rounds=rounds,
            door=self._door,
            settings=self.settings,
            tell=self._tell,
        )

    def _discovery(self, trusted: KeySet) -> Discovery:
        return Discovery(
            Probe(self._name_on_lan, tuple(sorted(trusted.keys))),
            bind=self.settings.bind,
            neighbours=self.settings.neighbours,
            is_multicast=self.settings.discovery,
            presence=lambda: self._presence,
        )

    async def _acquire(self, origin: Origin, trusted: KeySet, discovery: Discovery, nursery: trio.Nursery) -> Acquired:
        demands = demands_of(self.settings, trusted)
        if self._is_again and self.manifest is not None:
            demands = replace(demands, floor=max(demands.floor, self.manifest.sequence))
        self._acquisition = Acquisition(
            origin,
            demands,
            server=self.settings.server,
            bind=self.settings.bind,
            random=self._random,
            tell=self._tell,
            head_start=None if self._is_again else self._head_start,
        )
        nursery.start_soon(discovery.listen)
        return await self._acquisition.acquire(discovery, lambda release: self._select(release).artifacts)

    def _compare_stage0(self, manifest: Manifest) -> None:
        """Say so if this node was started with another kernel or initramfs than the manifest's."""
        faults = stage0_faults(manifest, prefixes=self.settings.stage0, kernel=os.uname())
        if self.settings.stage0 and faults:
            self.ledger.stage0 = "; ".join(faults)
            self._tell(f"this node was started with another stage 0: {self.ledger.stage0}; reboot it")

    def _select(self, release: Release) -> Selection:
        """Return what this node gets of the release; raise SpaceError if it has no room for it."""
        selection = choose(release.manifest, self.settings, is_unpacked=self._is_unpacked)
        self.manifest, self.selection = release.manifest, selection
        self.ledger.sequence, self.ledger.profile = release.manifest.sequence, selection.profile
        self.ledger.total_bytes = selection.size_bytes
        return selection

    def _join(self, origin: Origin, selection: Selection, release: Release) -> tuple[Fetching, Rounds]:
        """Open this node's doors, and go on with what the head start has begun, or begin."""
        settings = self.settings
        self._door = door = Door(settings.bind, metrics=lambda: metrics(self.ledger), up_bytes_per_s=settings.up)
        door.documents = release.documents
        door.start()
        fetching = self._head_start.take_over(release) if self._head_start and not self._is_again else None
        if fetching is None:
            fetching = Fetching(
                origin.connections,
                settings,
                self.ledger,
                selection.artifacts,
                sequence=release.manifest.sequence,
                random=self._random,
                tell=self._tell,
                keeps_old=not self._is_unpacked,
            )
            swarm = Swarm(bind=settings.bind, port=settings.port, up_bytes_per_s=settings.up)
            fetching.join(swarm, release.documents)
        fetching.http_port = door.port
        self._fetching = fetching
        return fetching, Rounds(fetching)

    async def _show(self, progress: Progress) -> None:
        while True:
            pause_s = progress.show()
            await trio.sleep(pause_s)

    async def _move(self, discovery: Discovery, fetching: Fetching) -> None:
        """Follow the machine to new addresses, where the kernel tells of them."""
        with suppress(OSError):
            async for _ in changes():
                discovery.join_again()
                fetching.move()

    async def _meet(self, discovery: Discovery, fetching: Fetching) -> None:
        """Look for more neighbours on the LAN while the seeder names none or cannot name any, or no piece comes."""
        lookout = Lookout(self._random)

        def is_left() -> bool:
            is_stuck = fetching.policy.is_stuck(now_s=time.monotonic())
            return fetching.policy.is_alone or is_stuck or not self.settings.server

        def is_helped() -> bool:
            return fetching.is_complete or not (is_left() or (fetching.is_hidden and not lookout.has_enough))

        def hear(found: Found) -> None:
            lookout.hear(Neighbour(found.host, found.presence.port, found.presence.http_port))
            if not fetching.is_hidden:
                fetching.meet(lookout.choose(is_hidden=False))

        async def dial() -> None:
            while True:
                await trio.sleep(_LOOK_S)
                fetching.meet(lookout.choose(is_hidden=fetching.is_hidden and not is_left()))

        async with open_nursery() as nursery:
            nursery.start_soon(dial)
            while not fetching.is_complete:
                await trio.sleep(_LOOK_S)
                if not is_helped():
                    await discovery.probe(hear, is_done=is_helped)
            nursery.cancel_scope.cancel()

    async def _hand_over(self, rounds: Rounds, artifact: Artifact, checksum: RunningChecksum) -> None:
        """Check a finished image whole and give it its name; raise ArtifactError if it is not what was signed."""
        await rounds.flush(artifact.info_hash)
        found = await checksum.finish()
        if found != artifact.sha256:
            raise ArtifactError(
                f"{artifact.name} is not what was signed",
                expected=f"sha256 {artifact.sha256.hex()[:16]}",
                found=found.hex()[:16],
                hint="suspect this machine's memory or disk",
            )
        if not rounds.fetching.places.is_final(artifact.info_hash):
            await rounds.rename(artifact.info_hash, artifact.name)
        with suppress(OSError):
            (self.settings.into / PARTIAL).rmdir()


def _check(settings: NodeSettings) -> None:
    if not settings.trust:
        raise MalformedSettingError(
            "swarmboot.trust (--trust) is missing",
            expected="the fleet's public key file",
            hint="give the .pub file that `swarmboot keygen` made",
        )
    if not (settings.server or settings.discovery or settings.neighbours):
        raise MalformedSettingError(
            "there is nobody to ask", expected="swarmboot.server, or swarmboot.discovery=on", found="neither"
        )
