"""A boot's first requests, made while the rest of the program is still being imported.

trio takes most of a start (docs/performance.md), and until a whole rack has imported it its seeder would have nothing
to do. So the signed documents, the first announces and the first leases are asked for, and the swarm is joined, in
plain threads, with what the standard library, the signatures and at last libtorrent need. When the boot is there it
takes over what has been begun. Whatever goes wrong ends the head start, and the boot goes on from there.
"""

from __future__ import annotations

import math
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from leecher.boot.about import learn_about
from leecher.boot.options import BootOptions
from leecher.boot.selection import choose
from leecher.cache.plan import CopyPlan, plan_of
from leecher.machine.console import tell
from leecher.origin.connection_pool import Connections, tls_context
from leecher.origin.small_request import SmallRequest
from leecher.release.trusted_release import DocumentRequest, Release, open_release, requirements_of, torrents_of
from leecher.swarm.counters import open_counters
from leecher.swarm.fetcher import Fetcher
from leecher.swarm.progress import Progress
from swarmboot.errors import SwarmbootError, TransferError, TrustError
from swarmboot.ids import Sequence
from swarmboot.release.key_files import read_trust
from swarmboot.release.manifest import Artifact

ANSWER_S, ANSWER_MAX_S, BUSY_S = 0.5, 5.0, 10.0
_LEAVE_S = 1.0


class HeadStart:
    """One boot's head start. `begin` it, import the rest, and give it to the boot.

    Raises KeyFileError if the certificate authority or the fleet token is unusable.
    """

    def __init__(self, options: BootOptions) -> None:
        settings = options.settings
        self.counters = open_counters(settings, started_s=options.started_s, credentials=options.credentials, tell=tell)
        self.connections = Connections(tls_context(settings.ca), bind=settings.bind)
        self.random = Random(self.counters.node)
        self._settings = settings
        self._is_unpacked = options.is_unpacked
        self._release: Release | None = None
        self._fetcher: Fetcher | None = None
        self._asking: SmallRequest | None = None
        self._plan: CopyPlan | None = None
        self._failure: SwarmbootError | None = None
        self._has_read = threading.Event()
        self._when_read: Callable[[], None] = lambda: None
        self.pointed: tuple[int, Sequence] | None = None
        self._is_under_way = threading.Event()
        self._is_over = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="head start", daemon=True)
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)

    def begin(self) -> HeadStart:
        """Start asking; return this head start."""
        learn_about(self._settings, self.counters)
        self._thread.start()
        return self

    def wait(self, until_s: float = math.inf) -> None:
        """Wait until pieces arrive and a processor is idle, or there is nothing to wait for, `BUSY_S` at most.

        No longer than `until_s` on the monotonic clock, which is the boot's own end.
        Importing meanwhile would delay just what is to be early: where processors are few, even the seeder's answers.
        A seeder that does not answer is waited for no longer than `ANSWER_S`: neighbours may have to be found. Where
        all processors are busy it may be those that its answer waits for, so then up to `ANSWER_MAX_S`.
        """
        most_s = min(time.monotonic() + ANSWER_MAX_S, until_s)
        while not self._has_read.wait(_left_s(ANSWER_S, until_s)):
            if _runnable_besides() < _processors() or time.monotonic() >= most_s:
                return
        self._is_under_way.wait(_left_s(BUSY_S, until_s))

    def when_read(self, call: Callable[[], None]) -> None:
        """Have `call` called, in some thread, when `pointed` is there, and when `has_read`; it may be called twice."""
        self._when_read = call
        if self._has_read.is_set():
            call()

    @property
    def has_read(self) -> bool:
        """Return whether `release` has something to return or raise at once."""
        return self._has_read.is_set()

    @property
    def last_failure(self) -> TransferError | None:
        """Return how the last transfer failed, if one did."""
        if isinstance(self._failure, TransferError):
            return self._failure
        return self._fetcher.last_failure if self._fetcher is not None else None

    def release(self) -> Release | None:
        """Wait for the release and return it with its torrents, or None if there is none to be had this way.

        Raises TransferError and TrustError as the reading of it did.
        """
        self._has_read.wait()
        if self._release is None and isinstance(self._failure, TransferError | TrustError):
            raise self._failure
        return self._release

    def take_over(self, release: Release) -> Fetcher | None:
        """Stop, and return what has been begun with this release, in its swarm; None if there is nothing to go on with.

        Raises the SwarmbootError that ended it.
        """
        if self._end():
            self._thread.join()
        if release is not self._release:
            self._close()
            return None
        if self._failure is not None:
            raise self._failure
        fetcher, self._fetcher = self._fetcher, None
        return fetcher

    def abandon(self) -> None:
        """Stop, leave what has been begun and was not taken over, and close the connections."""
        self._end()
        if self._asking is not None:
            self._asking.abort()  # it may be a silent server's answer, and nobody waits for it any more
        self._thread.join(_LEAVE_S)
        self._close()
        self.connections.close()

    def _close(self) -> None:
        fetcher, self._fetcher = self._fetcher, None
        if fetcher is not None:
            fetcher.close()

    def _end(self) -> bool:
        """Let the thread end; return whether it does at once. One that still reads will begin nothing afterwards."""
        with self._lock:
            self._is_over = True
            is_soon = self._has_read.is_set()
        self._wake()
        return is_soon

    def _wake(self) -> None:
        with suppress(OSError):  # it is going to wake anyhow, or is over
            self._waker.send(b"!")

    def _run(self) -> None:
        """Read the release, and fetch as long as nothing fails and nobody takes over."""
        try:
            self.counters.end_phase("leecher_start")
            release, artifacts = self._read()
            self.counters.end_phase("manifest")
            if self._tell_read():
                self._fetch(release, artifacts)
        except SwarmbootError as error:
            self._failure = error
        except OSError:
            return  # the boot comes to the same, and says so
        finally:
            self._tell_read()
            self._is_under_way.set()
            self._waker.close()
            self._woken.close()

    def _tell_read(self) -> bool:
        """Let it be known that the release is there, or will not be; return whether it is still of use.

        `when_read` may hear of it twice.
        """
        with self._lock:
            self._has_read.set()
            is_of_use = not self._is_over
        self._when_read()
        return is_of_use

    def _read(self) -> tuple[Release, tuple[Artifact, ...]]:
        """Read and return the release and what of it this node gets; its torrents are among the documents."""
        settings = self._settings
        asking = open_release(requirements_of(settings, read_trust(settings.trust)))
        request = next(asking)
        try:
            while True:
                request = asking.send(self._document(request))
                self._note_pointed(request)
        except StopIteration as done:
            release: Release = done.value
        settings.into.mkdir(parents=True, exist_ok=True)
        selection = choose(release.manifest, settings, is_unpacked=self._is_unpacked)
        self.counters.total_bytes = selection.size_bytes
        for path, request in torrents_of(selection.artifacts).items():
            release.documents[path] = self._document(request)
        self._plan = plan_of(settings.cache, selection.artifacts, release.documents, tell=tell, read=self._list)
        self._release = release
        return release, selection.artifacts

    def _list(self, path: str, size_bytes: int) -> bytes:
        return self._document(DocumentRequest(path, size_bytes))

    def _note_pointed(self, request: DocumentRequest) -> None:
        """Let it be known which release the server's channel points to, before the release itself is there."""
        self.pointed = request.standing
        self._when_read()

    def _document(self, request: DocumentRequest) -> bytes:
        url = f"{self._settings.server}/{request.path}"
        self._asking = SmallRequest(self.connections, url, max_bytes=request.max_bytes)
        self._asking.run()
        return self._asking.answer

    def _fetch(self, release: Release, artifacts: tuple[Artifact, ...]) -> None:
        """Announce, join the swarm, and fetch until the boot takes over."""
        settings = self._settings
        fetcher = Fetcher(
            self.connections,
            settings,
            self.counters,
            artifacts,
            sequence=release.manifest.sequence,
            random=self.random,
            tell=tell,
            keeps_old=not self._is_unpacked,
            plan=self._plan,
            wake=self._wake,
        )
        fetcher.step()
        from leecher.swarm.session import Swarm

        swarm = Swarm(
            bind=settings.bind, port=settings.port, up_bytes_per_s=settings.up_bytes_per_s, is_lazy=settings.lazy
        )
        self._fetcher = fetcher
        fetcher.join(swarm, release.documents)
        progress = Progress(settings.progress, self.counters, fetcher)
        while not self._is_over:
            due_s = min(fetcher.step(), progress.show())
            is_idle = settings.lazy or _runnable_besides() + 1 < _processors()  # reads are served only with trio
            heard = fetcher.announcer.heard
            is_needed = heard.is_hidden or heard.is_stage0_wanted  # nobody is found, and nothing served, without trio
            if fetcher.is_complete or is_needed or (self.counters.have_bytes and is_idle):
                self._is_under_way.set()
            readable, _, _ = select.select([self._woken, swarm.woken], [], [], due_s)
            if self._woken in readable:
                self._woken.recv(4096)


def _left_s(most_s: float, until_s: float) -> float:
    return max(0.0, min(most_s, until_s - time.monotonic()))


def _runnable_besides() -> int:
    """Return how many threads of this machine run or want to, besides the one that asks (proc(5), loadavg)."""
    running, _, _ = Path("/proc/loadavg").read_text().split()[3].partition("/")
    return int(running) - 1


def _processors() -> int:
    return os.cpu_count() or 1
