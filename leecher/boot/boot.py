"""One node's boot: from settings to verified images, and on as a neighbour.

Orders the steps: trust, release, profile, space, swarm, verification. What is decided is decided elsewhere
(`leecher.policy.node_policy`, `swarmboot.release.trust`, `swarmboot.release.profile`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import trio

from leecher.boot.about import learn_about
from leecher.boot.head_start import HeadStart
from leecher.boot.options import BootOptions, check_settings
from leecher.boot.proved_images import finish_image, wait_and_check
from leecher.boot.release_search import Acquired, ReleaseSearch
from leecher.boot.reports.reporting import Reporter
from leecher.boot.secret_settings import SecretSettings
from leecher.boot.selection import choose
from leecher.cache.plan import plan_of
from leecher.machine import lean_start
from leecher.machine.addresses import changes
from leecher.machine.space import make_folder
from leecher.neighbour.discovery import Discovery
from leecher.neighbour.early_stage0 import EarlyStage0
from leecher.neighbour.giving_way import give_way
from leecher.neighbour.http_server import NeighbourServer, open_server
from leecher.neighbour.meeting import meet
from leecher.neighbour.stage0 import Stage0Neighbour, stage0_faults
from leecher.origin.client import Origin
from leecher.origin.connection_pool import Connections, tls_context
from leecher.origin.nursery import open_nursery
from leecher.origin.threads import in_loose_thread, in_thread
from leecher.policy.lookout import Lookout
from leecher.release.trusted_release import Release, requirements_of
from leecher.swarm.announcer import LEAVE_S
from leecher.swarm.counters import open_counters
from leecher.swarm.fetch_loop import FetchLoop
from leecher.swarm.fetcher import Fetcher
from leecher.swarm.progress import Progress, metrics
from leecher.swarm.session import Swarm
from swarmboot.errors import StalledError, SwarmbootError, TransferError
from swarmboot.ids import new_node_id
from swarmboot.release.key_files import read_trust
from swarmboot.release.manifest import Manifest
from swarmboot.release.profile import Selection
from swarmboot.release.trust import KeySet
from swarmboot.wire.discovery import Presence, Probe

if TYPE_CHECKING:
    from leecher.boot.lazy_window import LazyWindow


class Boot:
    """One boot. `tell` takes lines for the console; `head_start` is what has been asked before there was a boot."""

    def __init__(
        self, options: BootOptions, *, tell: Callable[[str], None], head_start: HeadStart | None = None
    ) -> None:
        self.settings = settings = options.settings
        check_settings(settings)
        self.counters = (
            head_start.counters
            if head_start
            else open_counters(settings, started_s=options.started_s, credentials=options.credentials, tell=tell)
        )
        self.counters.hands_off = options.is_unpacked and settings.seed_bytes_per_s > 0
        if head_start is None:
            learn_about(settings, self.counters)
        self._tell = tell
        self._options = options
        self._reporter = Reporter(settings, self.counters, options.first_word)
        self._head_start = head_start
        self._random = head_start.random if head_start else Random(self.counters.node)
        self._fetcher: Fetcher | None = None
        self._presence: Presence | None = None
        self._name_on_lan = new_node_id()
        self._search: ReleaseSearch | None = None
        self._server: NeighbourServer | None = None
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
        make_folder(settings.into)
        given = self._head_start.connections if self._head_start else None
        with closing(given or Connections(tls_context(settings.ca), bind=settings.bind)) as connections:
            origin = Origin(connections)
            try:
                await self._run(origin, trusted, stop)
            except SwarmbootError as error:
                await self._reporter.report(origin, self.counters.report(error))
                raise
            finally:
                if self._head_start is not None:
                    self._head_start.abandon()
                if self._fetcher is not None:
                    self._fetcher.close()

    async def _run(self, origin: Origin, trusted: KeySet, stop: trio.Event) -> None:
        ends_s = trio.current_time() + self._options.ends_s - time.monotonic()
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
                if is_whole and self.settings.linger:
                    self._tell("complete; seeding to neighbours until stopped")
                    self._options.on_whole()
                    lean_start.give_back()
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
        assert self._fetcher is not None
        assert self._server is not None
        self._presence, self._is_again = None, True
        self._fetcher.close()
        await trio.to_thread.run_sync(self._server.close)

    async def _leave(self) -> None:
        """Tell the seeder that this node goes away, if it listens within a second."""
        request = self._fetcher.announcer.leave() if self._fetcher else None
        if request is not None:
            with suppress(TransferError), trio.move_on_after(LEAVE_S):
                await in_thread(request)

    def _overdue(self) -> TransferError:
        """Return why the boot did not end in time: how the last transfer failed, if one did."""
        last: Fetcher | ReleaseSearch | SecretSettings | None = self._fetcher or self._search
        if self._secret_settings is not None and not self._secret_settings.written.is_set():
            last = self._secret_settings
        for each in (last, self._head_start):
            if each is not None and each.last_failure is not None:
                return each.last_failure
        limit = f"an end within {self.settings.timeout_s:g} s"
        return StalledError("the boot took longer than swarmboot.timeout allows", expected=limit, found="none")

    async def _fetch(self, origin: Origin, trusted: KeySet, nursery: trio.Nursery) -> bool:
        """Bring the node from nothing to verified, reported images; return whether it did not find them gone."""
        self.counters.end_phase("leecher_start")
        nursery.start_soon(self._reporter.say_first_word, origin)
        discovery = self._discovery(trusted)
        acquired = await self._acquire(origin, trusted, discovery, nursery)
        selection = self.selection
        assert selection is not None
        self._compare_stage0(acquired.release.manifest)
        self.counters.end_phase("manifest")
        self._secret_settings = secrets = self._secrets(acquired.release.manifest, selection)
        nursery.start_soon(secrets.fetch, origin)
        fetcher, fetch_loop = self._join(origin, selection, acquired.release)
        nursery.start_soon(fetch_loop.run)
        await fetch_loop.until(lambda: fetcher.has_joined, is_urgent=True)
        self._presence = Presence(self._name_on_lan, acquired.release.manifest.sequence, *fetcher.announcer.ports)
        fetcher.meet(acquired.neighbours)
        progress = Progress(self.settings.progress, self.counters, fetcher)
        nursery.start_soon(self._show, progress)
        nursery.start_soon(meet, discovery, fetcher, Lookout(self._random), bool(self.settings.server))
        nursery.start_soon(self._move, discovery, fetcher)
        if (window := self._window(fetch_loop, selection)) is not None:
            nursery.start_soon(window.run, acquired.release.documents, secrets.written)
        early = self._early_stage0(origin, selection, acquired.release.manifest, fetch_loop)
        nursery.start_soon(early.run)
        assert self._server is not None
        nursery.start_soon(give_way, self._server, fetch_loop, self.settings.up_bytes_per_s)
        search = self._search if self.settings.server else None
        checksums = await wait_and_check(selection, fetch_loop, acquired.release, search=search, random=self._random)
        early.end(goes_on=checksums is not None and (self.settings.linger or self.counters.hands_off))
        if checksums is None:
            if window is not None:
                window.release_is_gone()
            return False
        self.counters.end_phase("images")
        for artifact, checksum in zip(selection.artifacts, checksums, strict=True):
            await finish_image(fetch_loop, artifact, checksum, self.settings.into)
        await secrets.written.wait()
        self.counters.end_phase("verification")
        if window is not None:
            await self._close(window, origin)
        progress.finish()
        await self._reporter.report(origin, self.counters.report())
        if self.settings.cache and not self._options.is_unpacked:
            await in_loose_thread(partial(self._keep, origin, acquired.release, selection))
        if self.settings.linger:
            nursery.start_soon(self._stage0_neighbour(acquired, fetch_loop).run)
        return True

    async def _close(self, window: LazyWindow, origin: Origin) -> None:
        """Exchange the images under the running root, and hand in what the boot has read if that is asked for."""
        await window.finish()
        if window.has_boot_trace:
            from leecher.boot.reports.boot_trace import hand_in

            await hand_in(origin, self.settings, self.counters, window.trace(), tell=self._tell)

    def _keep(self, origin: Origin, release: Release, selection: Selection) -> None:
        """Keep the images in this node's cache; takes as long as writing them does."""
        from leecher.boot.keeping import keep_images, lists_of

        settings, artifacts = self.settings, selection.artifacts
        lists = lists_of(artifacts, release.documents, server=settings.server, connections=origin.connections)
        keep_images(
            Path(settings.cache), artifacts, lists, into=settings.into, issued_s=release.manifest.issued_unix_s,
            is_proved=self.counters.from_cache_bytes == selection.size_bytes, tell=self._tell,
        )  # fmt: skip

    def _window(self, fetch_loop: FetchLoop, selection: Selection) -> LazyWindow | None:
        """Return the time in which images are in use before they are whole, if this boot has one."""
        if not self.settings.lazy or self._is_again:
            return None
        from leecher.boot.lazy_window import LazyWindow, open_link
        from leecher.boot.reports.boot_trace import BootTrace

        link = open_link()
        if link is None:
            return None
        return LazyWindow(
            link,
            fetch_loop,
            selection.artifacts,
            into=self.settings.into,
            ready=self._ready,
            tell=self._tell,
            boot_trace=BootTrace(self.settings.into.parent) if self.settings.trace else None,
        )

    def _ready(self, devices: Mapping[str, str]) -> None:
        if self._options.on_ready is not None and self.manifest is not None and self.selection is not None:
            self._options.on_ready(self.manifest, self.selection, devices)

    def _secrets(self, manifest: Manifest, selection: Selection) -> SecretSettings:
        settings, counters = self.settings, self.counters
        return SecretSettings(
            manifest, selection, settings, counters, random=self._random, tell=self._tell,
            has_files=self._options.is_unpacked,
        )  # fmt: skip

    def _early_stage0(
        self, origin: Origin, selection: Selection, manifest: Manifest, fetch_loop: FetchLoop
    ) -> EarlyStage0:
        assert self._server is not None
        unpacked = sum(each.unpacked_bytes for each in selection.artifacts) if self._options.is_unpacked else 0
        return EarlyStage0(
            manifest, origin.connections, fetch_loop, self._server, self.settings, self.counters,
            tell=self._tell, unpacked_bytes=unpacked,
        )  # fmt: skip

    def _stage0_neighbour(self, acquired: Acquired, fetch_loop: FetchLoop) -> Stage0Neighbour:
        assert self._server is not None
        assert self._search is not None
        return Stage0Neighbour(
            manifest=acquired.release.manifest,
            documents=acquired.release.documents,
            read_torrents=self._search.read_torrents,
            fetch_loop=fetch_loop,
            server=self._server,
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
        requirements = requirements_of(self.settings, trusted)
        if self._is_again and self.manifest is not None:
            requirements = replace(requirements, floor=max(requirements.floor, self.manifest.sequence))
        self._search = ReleaseSearch(
            origin,
            requirements,
            settings=self.settings,
            random=self._random,
            tell=self._tell,
            head_start=None if self._is_again else self._head_start,
        )
        nursery.start_soon(discovery.listen)
        return await self._search.acquire(discovery, lambda release: self._select(release).artifacts)

    def _compare_stage0(self, manifest: Manifest) -> None:
        """Say so if this node was started with another kernel or initramfs than the manifest's."""
        faults = stage0_faults(manifest, prefixes=self.settings.stage0, kernel=os.uname())
        if self.settings.stage0 and faults:
            self.counters.stage0 = "; ".join(faults)
            self._tell(f"this node was started with another stage 0: {self.counters.stage0}; reboot it")

    def _select(self, release: Release) -> Selection:
        """Return what this node gets of the release; raise SpaceError if it has no room for it."""
        selection = choose(release.manifest, self.settings, is_unpacked=self._options.is_unpacked)
        self.manifest, self.selection = release.manifest, selection
        self.counters.sequence, self.counters.profile = release.manifest.sequence, selection.profile
        self.counters.total_bytes = selection.size_bytes
        return selection

    def _join(self, origin: Origin, selection: Selection, release: Release) -> tuple[Fetcher, FetchLoop]:
        """Start this node's servers, and go on with what the head start has begun, or begin."""
        settings = self.settings
        self._server = server = open_server(
            settings.bind, port=settings.metrics_port, metrics=lambda: metrics(self.counters),
            up_bytes_per_s=settings.up_bytes_per_s, tell=self._tell,
        )  # fmt: skip
        server.documents = release.documents
        server.start()
        fetcher = self._head_start.take_over(release) if self._head_start and not self._is_again else None
        if fetcher is None:
            fetcher = Fetcher(
                origin.connections,
                settings,
                self.counters,
                selection.artifacts,
                sequence=release.manifest.sequence,
                random=self._random,
                tell=self._tell,
                keeps_old=not self._options.is_unpacked,
                plan=plan_of(settings.cache, selection.artifacts, release.documents, tell=self._tell),
            )
            swarm = Swarm(
                bind=settings.bind, port=settings.port, up_bytes_per_s=settings.up_bytes_per_s, is_lazy=settings.lazy
            )
            fetcher.join(swarm, release.documents)
        fetcher.announcer.http_port = server.port
        self._fetcher = fetcher
        return fetcher, FetchLoop(fetcher)

    async def _show(self, progress: Progress) -> None:
        while True:
            pause_s = progress.show()
            await trio.sleep(pause_s)

    async def _move(self, discovery: Discovery, fetcher: Fetcher) -> None:
        """Follow the machine to new addresses, where the kernel tells of them."""
        with suppress(OSError):
            async for _ in changes():
                discovery.join_again()
                fetcher.move()
