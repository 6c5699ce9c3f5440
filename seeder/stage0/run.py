"""Run stage 0 beside the HTTPS server: a plain-HTTP listener for firmware and, if asked for, dnsmasq."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from seeder.boot_script.load import Stage0Trust
from seeder.http import hypercorn_connection
from seeder.http.crowd import Crowd, Patience
from seeder.http.pacer import Pacer
from seeder.log import Log
from seeder.policy.facts.registry import Registry
from seeder.policy.stage0_queue import Stage0Queue
from seeder.site.catalogue import Catalogue
from seeder.stage0.app import Stage0App, Stage0Config
from seeder.stage0.dhcp.dnsmasq_process import IPXE_FOLDER, Dnsmasq, dnsmasq_running
from seeder.stage0.memory_test import MemoryTestFiles
from seeder.stage0.menu_map import MenuMap
from seeder.stage0.rack_map import RackMap
from seeder.stage0.served import Served
from seeder.stage0.u_boot import UBoot
from seeder.stage0.watcher import Nobody, Watcher

PATIENCE = Patience(idle_s=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage0Options:
    """What stage 0 runs with. `dnsmasq` is what dnsmasq is started with, if it is ours; `slots` 0 adapts.

    `server` is the address nodes are given for the seeder; empty for the address that a machine asked at and
    `https_port`.
    """

    listener: socket.socket
    https_port: int
    server: str = ""
    trust: Stage0Trust = Stage0Trust.ORIGIN_ONLY
    slots: int = 0
    dnsmasq: Dnsmasq | None = None
    ipxe: Path = IPXE_FOLDER
    racks: RackMap = field(default_factory=RackMap)
    menus: MenuMap = field(default_factory=MenuMap)
    memtest: MemoryTestFiles = field(default_factory=MemoryTestFiles)
    node_files: Path | None = None
    u_boot: UBoot | None = None
    pi_folder: Path | None = None


@asynccontextmanager
async def stage0_running(
    options: Stage0Options,
    registry: Registry,
    catalogue: Catalogue,
    crowd: Crowd,
    log: Log,
    *,
    pacer: Pacer,
    uplink_bytes_per_s: float,
    is_covered: Callable[[str], bool],
    watcher: Watcher | None = None,
) -> AsyncIterator[Stage0App]:
    """Serve stage 0 while the context is open; `is_covered` says whether the seeder's certificate is one for a host.
    `watcher` is told what machines do; `pacer` is the one of all that goes over the uplink.

    Raises PortInUseError or ResourceError, out of the context, if dnsmasq ends before.
    """
    queue = Stage0Queue(registry, trust=options.trust, uplink_bytes_per_s=uplink_bytes_per_s, slots=options.slots)
    place = Stage0Config(
        site=catalogue.folder,
        server=options.server,
        https_port=options.https_port,
        binaries=(options.ipxe,),
        racks=options.racks,
        menus=options.menus,
        memtest=options.memtest,
        pi_folder=options.pi_folder,
        board_files=options.u_boot.root if options.u_boot is not None else None,
        node_files=options.node_files,
        is_covered=is_covered,
    )
    app = Stage0App(queue, catalogue, place, log, pacer=pacer, watcher=watcher)
    stop = trio.Event()
    async with app.running(), AsyncExitStack() as stack:
        if options.dnsmasq is not None:
            await stack.enter_async_context(dnsmasq_running(options.dnsmasq, log, watcher or Nobody()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, app, options.listener, crowd, stop)
            following = trio.CancelScope()
            if options.u_boot is not None:
                nursery.start_soon(_follow, following, options.u_boot, app.releases.main, catalogue.folder, log)
            yield app
            stop.set()
            following.cancel()


async def _listen(app: Stage0App, listener: socket.socket, crowd: Crowd, stop: trio.Event) -> None:
    settings = hypercorn_connection.settings(listener, crowd, patience=PATIENCE)
    await hypercorn_connection.serve(app.application(), settings, stop.wait)


async def _follow(scope: trio.CancelScope, boards: UBoot, served: Served, site: Path, log: Log) -> None:
    """Lay releases out for boards with U-Boot until the scope is cancelled."""
    with scope:
        await boards.follow(served, site, log)
