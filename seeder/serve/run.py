"""Run the seeder: listen, serve, stop cleanly.

One service, one nursery. The listening socket is opened here, before anything else, so that a port in use is one clear
line and port 0 is told to the user.
"""

from __future__ import annotations

import ctypes
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import trio

from seeder.http import hypercorn_connection
from seeder.http.authority import ServerCertificate
from seeder.http.crowd import DESCRIPTORS_MAX, Crowd, connections_for
from seeder.log import Log
from seeder.node_log.listener import NodeLog
from seeder.node_log.routes import log_routes
from seeder.node_log.store import NODE_LOG, Store
from seeder.policy.facts.registry import Registry
from seeder.policy.limits import Limits
from seeder.policy.tracker import Tracker
from seeder.record.recorder import Recorder
from seeder.serve import collector
from seeder.serve.app import SeederApp
from seeder.serve.guard import Guard, served_certificate
from seeder.serve.lines.node_lines import LinesTaken
from seeder.serve.node_traces import TracesTaken
from seeder.serve.renewal import Renewal
from seeder.serve.watching import Watching
from seeder.site.catalogue import Catalogue
from seeder.site.lifetimes import site_lifetimes
from seeder.stage0.app import Stage0App
from seeder.stage0.run import Stage0Options, stage0_running
from seeder.systemd import notify
from swarmboot.crypto.fleet_token import FleetToken

TRIM_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What `serve` runs with. Bytes per second; `origins` are mirrors that hold the same site.

    `tokens` are the fleet tokens that nodes must prove one of, none for everybody; `node_files` is the folder of nodes'
    own files, which only those get. `issue` makes the certificate anew, None where it is the operator's own. `state`
    is the folder of the history.
    """

    site: Path
    host: str
    port: int
    uplink_bytes_per_s: float
    origins: tuple[str, ...]
    certificate: ServerCertificate
    stage0: Stage0Options | None = None
    log: Log = field(default_factory=Log)
    tokens: tuple[FleetToken, ...] = ()
    node_files: Path | None = None
    issue: Callable[[], ServerCertificate] | None = None
    state: Path
    watching: Watching = field(default_factory=Watching)


async def serve(options: ServeOptions, listener: socket.socket, tell_started: Callable[[], None]) -> None:
    """Serve the site until SIGINT or SIGTERM; nodes that are loading are given a moment to finish.

    `tell_started` is called when both signals stop it cleanly and connections are taken.
    """
    app, renewal, node_log = _put_together(options)
    syslog, netconsole = options.watching.syslog, options.watching.netconsole
    stop = trio.Event()

    async def watch_signals(signals: AsyncIterator[int]) -> None:
        async for _ in signals:
            notify.tell(notify.STOPPING)
            stop.set()

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.record.running())
        await stack.enter_async_context(app.running())
        await stack.enter_async_context(node_log.running(syslog, netconsole))
        if options.stage0 is not None:
            stage0 = await stack.enter_async_context(_stage0(options, options.stage0, app, renewal))
            app.current.stage0, app.tracker.invite = stage0, stage0.releases.invite
            app.more_for = stage0.releases.more_for_node
        signals = stack.enter_context(trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM))
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(watch_signals, signals)
        nursery.start_soon(notify.stay_alive)
        nursery.start_soon(give_back_memory)
        nursery.start_soon(collector.run)
        tell_started()
        await renewal.tell_endings(app.catalogue, time.time())
        nursery.start_soon(renewal.run, app.catalogue)

        settings = hypercorn_connection.settings(
            listener,
            app.crowd,
            certificate=options.certificate,
            when_listening=renewal.listens,
            when_refused=app.handshake_refused,
        )
        await hypercorn_connection.serve(app.application(), settings, stop.wait)
        nursery.cancel_scope.cancel()


def _put_together(options: ServeOptions) -> tuple[SeederApp, Renewal, NodeLog]:
    """Return the application with all it carries facts to, what renews its certificate, what hears nodes."""
    registry = Registry()
    catalogue = Catalogue(options.site, registry)
    catalogue.refresh()
    limits = Limits(uplink_bytes_per_s=options.uplink_bytes_per_s)
    tracker = Tracker(registry, limits, origins=("", *options.origins), random=Random())
    tracker.is_stage0_wanted = options.stage0 is not None and options.stage0.trust.has_neighbours
    record = Recorder(
        registry,
        catalogue,
        folder=options.state,
        bounds=options.watching.bounds,
        stuck_after_s=options.watching.stuck_after_s,
        tell=options.log.tell,
    )
    guard = Guard(options.tokens, served_certificate(options.certificate.certificate), tell=options.log.tell)
    app = SeederApp(
        tracker,
        catalogue,
        options.log,
        crowd=Crowd(connections_for(raise_descriptor_limit())),
        guard=guard,
        node_files=options.node_files,
        status_from=options.watching.status_from,
        record=record,
        ui_token=options.watching.ui_token,
    )
    renewal = Renewal(options.certificate, options.issue, guard, options.log)
    record.lives = renewal.all_lifetimes
    app.ends = lambda: (*renewal.all_lifetimes(), *site_lifetimes(catalogue.folder, catalogue.manifests))
    node_log = NodeLog(Store(options.state / NODE_LOG), options.log, partial(_who, record), options.watching.loki)
    app.lines = LinesTaken(node_log, registry)
    traces = TracesTaken(options.state, registry, catalogue, guard, tell=options.log.tell)
    app.more_routes = lambda may_read: (
        *log_routes(node_log.store, partial(_files_of, record), may_read), *traces.routes(app.posted)
    )  # fmt: skip
    return app, renewal, node_log


def _stage0(
    options: ServeOptions, stage0: Stage0Options, app: SeederApp, renewal: Renewal
) -> AbstractAsyncContextManager[Stage0App]:
    return stage0_running(
        stage0,
        app.tracker.registry,
        app.catalogue,
        app.crowd,
        options.log,
        pacer=app.pacer,
        uplink_bytes_per_s=options.uplink_bytes_per_s,
        is_covered=renewal.is_covered,
        watcher=app.record,
    )


def _who(record: Recorder, host: str, node: str) -> tuple[str, str]:
    """Return the key of the boot of a node, or at an address, and what people call its machine; else the address."""
    boot = (record.of_node(node) if node else None) or record.find(host)
    return (boot.id, boot.name or boot.mac or host) if boot is not None else (host, host)


def _files_of(record: Recorder, key: str) -> tuple[str, ...]:
    """Return the names under which a node's lines are kept: its boot's, and its addresses' from before it was known."""
    boot = record.find(key)
    return (boot.id, *boot.addresses) if boot is not None else ()


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit of descriptors as far as it may and needs; return it (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft < most and soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return DESCRIPTORS_MAX if soft == resource.RLIM_INFINITY else soft


async def give_back_memory() -> None:
    """Have the C library give back what it holds and nobody uses, now and then, where it can (malloc_trim(3)).

    Connections that come and go leave holes, and by itself glibc gives back only what lies at the end of its heap:
    under hostile hosts the seeder's memory grew by 20 MB a minute, of which none was in use.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await trio.sleep(TRIM_S)
        await trio.to_thread.run_sync(trim, 0)


def link_rate_bytes_per_s(default: float = 125e6) -> float:
    """Return the speed of the interface with the default route, from /sys/class/net (kernel ABI sysfs-class-net)."""
    try:
        routes = Path("/proc/self/net/route").read_text().splitlines()[1:]
        interface = next(line.split()[0] for line in routes if line.split()[1] == "00000000")
        megabits = int(Path(f"/sys/class/net/{interface}/speed").read_text())
    except (OSError, ValueError, StopIteration, IndexError):
        return default
    return megabits * 125e3 if megabits > 0 else default
