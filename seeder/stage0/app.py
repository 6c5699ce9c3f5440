"""The stage-0 server: what firmware, iPXE and GRUB may fetch over plain HTTP, and nothing else.

    /boot.ipxe  /grub.cfg    a script for one machine, by `mac`; both may be kept waiting for their turn; a menu for
                             machines that are to be shown one, until they say what was chosen in it, by `item`
    /node.img                one machine's own files as a cpio archive
    /k/<sha256>              kernel and initramfs of the release that is served; /k/<sha256>.sig for imgverify
    /boot/<name>             iPXE's binaries; /boot/boot.efi, the release's unified kernel image if it has one;
                             /boot/memtest.efi and memtest.bin if they are in a menu
    /pxelinux.cfg/<name>     and /u-boot/<path>: what boards with U-Boot fetch, if they are served, as over TFTP
    /net_install/boot.img    and boot.sig: what Raspberry Pis boot, as `swarmboot pxe rpi` has written it

Everything here is public. It decides nothing: `seeder.policy.stage0_queue` does. Firmware speaks no HTTPS, so nothing
here may be taken for authentic; what a node boots after stage 0 is checked against the fleet's keys.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from seeder.boot_script import ipxe
from seeder.boot_script.dialect import Dialect
from seeder.boot_script.grammar import CommandLine, Mac, Source, parse_mac
from seeder.boot_script.grub import GRUB
from seeder.boot_script.kernel_cmdline import check_carried
from seeder.boot_script.load import Load
from seeder.boot_script.menu import Menu
from seeder.http.file_response import BlobResponse
from seeder.http.held_requests import HeldRequests
from seeder.http.pacer import Pacer
from seeder.log import Log
from seeder.policy.stage0_queue import Granted, Queued, Stage0Queue, Verdict
from seeder.site.catalogue import Catalogue
from seeder.stage0.asked_at import asked_at, server_url
from seeder.stage0.capitals import with_capitals
from seeder.stage0.files import Stage0Files, no_such_file
from seeder.stage0.memory_test import MemoryTestFiles
from seeder.stage0.menu_map import MEMTEST, MenuLine, MenuMap, menu_item
from seeder.stage0.node_images import NodeImageResponse, NodeImages
from seeder.stage0.pi_image import IMAGE_NAME, SIGNATURE_NAME
from seeder.stage0.rack_map import RackMap
from seeder.stage0.served import Served, ServedReleases
from seeder.stage0.watcher import Nobody, Watcher
from swarmboot.errors import ReleaseError, SwarmbootError
from swarmboot.ids import Digest
from swarmboot.release import layout
from swarmboot.release.manifest import Manifest
from swarmboot.release.stage0 import IMAGES_AT
from swarmboot.text.addresses import connection_address, counted_as, host_port

REFRESH_S = 1.0
UNCOVERED_MAX = 16
UNIFIED_NAME = "boot.efi"
_BOARD_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*\Z")
_BLOB = re.compile(r"([0-9a-f]{64})(\.sig)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage0Config:
    """Where the server's files are and what it tells nodes.

    `server` is the seeder's address for nodes once they run; empty for the host that they asked, at `https_port`.
    `is_covered` says whether the seeder's certificate is one for a host.
    """

    site: Path
    server: str = ""
    https_port: int = 8470
    channel: str = layout.DEFAULT_CHANNEL
    binaries: tuple[Path, ...] = ()
    racks: RackMap = field(default_factory=RackMap)
    menus: MenuMap = field(default_factory=MenuMap)
    memtest: MemoryTestFiles = field(default_factory=MemoryTestFiles)
    node_files: Path | None = None
    pi_folder: Path | None = None
    board_files: Path | None = None
    is_covered: Callable[[str], bool] = lambda _host: True


class Stage0App:
    """The HTTP application and the task that answers machines who wait."""

    def __init__(
        self,
        queue: Stage0Queue,
        catalogue: Catalogue,
        place: Stage0Config,
        log: Log,
        *,
        pacer: Pacer | None = None,
        watcher: Watcher | None = None,
        canary: Stage0Queue | None = None,
    ) -> None:
        self.queue = queue
        self.releases = ServedReleases(
            place.site, place.channel, catalogue, queue, canary or queue.another(), place.menus.channels
        )
        self._pacer = pacer or Pacer(math.inf)
        self._node_images = NodeImages(place.node_files)
        self._watcher = watcher or Nobody()
        self._log = log
        self.machines = 0
        self._place = place
        self._held = HeldRequests[Granted | Queued](lambda now_s: self.releases.next_tick_s(now_s=now_s))
        self._files = Stage0Files(self._pacer, place.binaries)
        self._uncovered: set[str] = set()

    def application(self) -> ASGIApp:
        """Return the ASGI application."""
        return with_capitals(self._routes())

    def _routes(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/boot.ipxe", self._ipxe),
                Route("/grub.cfg", self._grub),
                Route("/node.img", self._node_image),
                Route(f"{IMAGES_AT}{{name}}", self._image),
                Route("/boot/{name}", self._binary),
                Route("/net_install/{name}", self._pi_image),
                Route("/pxelinux.cfg/{name}", self._board_file),
                Route("/u-boot/{name:path}", self._board_file),
            ]
        )

    def status(self) -> dict[str, object]:
        """Return what there is to say of stage 0 on the status page."""
        return {
            "manifest": self.queue.stage0.sequence if self.queue.stage0 else 0,
            "trust": self.queue.trust.value,
            "machines": self.machines,
            "waiting": self.releases.waiting,
            "loading": self.releases.loading,
            "neighbours": self.releases.neighbours,
            "sent_bytes": self.sent_bytes,
            "canary": self.releases.canary_status(),
        }

    @property
    def sent_bytes(self) -> int:
        """Return how many bytes of files have left."""
        return self._files.sent_bytes

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer waiting machines and follow the channel while the context is open."""
        async with trio.open_nursery() as nursery:
            self._follow()
            nursery.start_soon(self._held.run, self._tick)
            nursery.start_soon(self._refresh)
            yield
            nursery.cancel_scope.cancel()

    def _tick(self, now_s: float) -> None:
        self._deliver(self.releases.tick(now_s=now_s))

    async def _refresh(self) -> None:
        while True:
            await trio.sleep(REFRESH_S)
            self._follow()
            self._deliver(self.releases.tick(now_s=time.monotonic()))

    def _follow(self) -> None:
        """Take the releases that machines boot; the nodes themselves check who signed them."""
        for news in self.releases.follow():
            if isinstance(news, str):
                self._log.tell(f"stage 0: {news}")
                continue
            manifest, channel = news.manifest, f", channel {news.told}" if news.told else ""
            assert manifest is not None
            is_bootable = news.queue.stage0 is not None
            what = "machines boot it" if is_bootable else "it has no kernel and initramfs, so machines cannot boot it"
            self._log.tell(f"stage 0: manifest {manifest.sequence} ({manifest.name}{channel}); {what}")
            if is_bootable:
                self._tell_uncarried(manifest)

    def _tell_uncarried(self, manifest: Manifest) -> None:
        """Say what of a release, published before that was refused, scripts leave out or machines are refused for."""
        try:
            check_carried(manifest.name, manifest.cmdline, manifest.profiles)
        except ReleaseError as error:
            self._log.tell(f"stage 0: manifest {manifest.sequence}: {error}")

    def _deliver(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            self._held.give(verdict.ticket, verdict.answer)

    async def _ipxe(self, request: Request) -> Response:
        return _script_response(await self._script(request, ipxe.IPXE, _origin(request)))

    async def _grub(self, request: Request) -> Response:
        return _script_response(await self._script(request, GRUB, _origin(request, is_port_told=False)))

    async def _script(self, request: Request, dialect: Dialect, origin: Source) -> str:
        mac = parse_mac(request.query_params.get("mac", ""))
        if not mac:
            return dialect.entry(origin)
        line = self._place.menus.menu(mac, _host(request))
        chosen = line.choice(request.query_params.get("item", "")) if line else None
        try:
            if line and chosen is None:
                self._watcher.shown_menu(mac, _host(request))
                return self._menu(request, line, dialect, origin, mac)
            served, answer = await self._turn(request, mac, chosen.channel if chosen else "")
            if isinstance(answer, Queued):
                self._watcher.waits(mac, _host(request), answer.ahead)
                return dialect.wait(origin, Mac(mac), answer.ahead, answer.wait_s, chosen.word if chosen else None)
            return dialect.boot(served.stage0, self._load(request, origin, mac, served, answer))
        except SwarmbootError as error:
            self._watcher.script_refused(mac, _host(request), str(error))
            return dialect.refusal(origin, Mac(mac), str(error))

    def _menu(self, request: Request, line: MenuLine, dialect: Dialect, origin: Source, mac: str) -> str:
        """Return a machine's menu, without a memory test that is not there."""
        main, rack = self.releases.main, self._place.racks.place(mac, _host(request)).rack
        test = self._place.memtest.told(main.manifest.cmdline if main.manifest else "")
        items = tuple(
            menu_item(choice, self.releases.of(mac, rack, choice.channel).words)
            for choice in line.choices
            if choice.name != MEMTEST or test.is_there
        )
        trust = self.queue.trust
        return dialect.menu(
            Menu(origin=origin, mac=Mac(mac), seconds=line.seconds, items=items, trust=trust, memtest=test)
        )

    async def _turn(self, request: Request, mac: str, chosen: str) -> tuple[Served, Granted | Queued]:
        """Return what to boot and the queue's answer, once it comes; raise ReleaseError if there is nothing to boot.

        Until then another release may have come: what is loaded, and by which command line, is asked for afterwards.
        """
        place = self._place.racks.place(mac, _host(request))
        served = self.releases.of(mac, place.rack, chosen)
        queue = served.queue
        self._cmdline(request, mac, served)
        held = self._held.open()
        self._watcher.asked(mac, _host(request), place.rack)
        try:
            self._deliver(queue.ask(held, mac, host=_host(request), rack=place.rack, now_s=time.monotonic()))
            self._held.stir()
            answer = await held.answer_or_hang_up(request.receive) or Queued(0, 1)  # which who hung up will not hear
        finally:
            if self._held.close(held):
                queue.hung_up(held, now_s=time.monotonic())
        if isinstance(answer, Granted):
            self.machines += 1
            self._watcher.granted(mac, _host(request), served.channel)
            neighbours = (host_port(each.host, each.port) for each in answer.neighbours)
            sources = ", ".join([*neighbours, "the server"])
            where = f" in rack {place.rack}" if place.rack else ""
            kind = "channel" if chosen else "the canary,"
            what = f" {kind} {served.told}," if served.told else ""
            self._log.tell(f"machine {mac}{where} loads{what} from {sources}", source=counted_as(_host(request)))
        return served, answer

    def _load(self, request: Request, origin: Source, mac: str, served: Served, granted: Granted) -> Load:
        return Load(
            mac=Mac(mac),
            origin=origin,
            cmdline=self._cmdline(request, mac, served),
            neighbours=granted.neighbours,
            trust=self.queue.trust,
            has_node_image=bool(self._node_images.image(mac, now_s=time.monotonic()).data),
        )

    def _cmdline(self, request: Request, mac: str, served: Served) -> CommandLine:
        place = self._place.racks.place(mac, _host(request))
        return served.cmdline(mac, place, self._place.server or self._server(request))

    def _server(self, request: Request) -> str:
        """Return the seeder's address for the machine that asks; say so, once a host, if TLS will not accept it."""
        asked = _origin(request).host
        url, is_right = server_url(
            asked, _own(request).host, self._place.https_port, is_covered=self._place.is_covered
        )  # fmt: skip
        if not is_right and asked not in self._uncovered and len(self._uncovered) < UNCOVERED_MAX:
            self._uncovered.add(asked)
            hint = f"start serve with --name {asked}, or name another address with --server"
            self._log.tell(f"machines ask for stage 0 at {asked}, which the certificate is not for: {hint}")
        return url

    async def _node_image(self, request: Request) -> ASGIApp:
        mac = parse_mac(request.query_params.get("mac", ""))
        held = self._node_images.image(mac, now_s=time.monotonic())
        if not held.data:
            return PlainTextResponse("no files for this machine\n", status_code=404)
        host = request.client.host if request.client else ""
        return NodeImageResponse(self._node_images, held, self._pacer, host, chunk_bytes=self._files.chunk_bytes())

    async def _image(self, request: Request) -> Response:
        match = _BLOB.match(request.path_params["name"])
        digest = Digest(bytes.fromhex(match[1])) if match else Digest(b"")
        served = self.releases.with_image(digest)
        if not match or not served:
            return no_such_file()
        folder = self._place.site / ("stage0" if match[2] else "blobs")
        mac = parse_mac(request.query_params.get("mac", ""))
        is_load = bool(mac) and not match[2] and request.method == "GET"
        left_bytes = math.inf

        async def tell(size_bytes: int) -> None:
            # Before the last chunk leaves: a client that has it hangs up, which cancels what would come after.
            nonlocal left_bytes
            left_bytes -= size_bytes
            if is_load:
                for each in served:
                    self._sent(each.queue, mac, digest, is_whole=left_bytes <= 0, host=_host(request))

        weights = (each.queue.more_for_machine(mac, host=_host(request)) for each in served)
        more = max(weights) if is_load else 0.0
        response = self._files.open(request, folder / match[0], "application/octet-stream", tell, more=more)
        if isinstance(response, BlobResponse):
            left_bytes = response.size_bytes
        return response

    def _sent(self, queue: Stage0Queue, mac: str, digest: Digest, *, is_whole: bool, host: str) -> None:
        was_loading = queue.is_loading(mac, host=host)
        verdicts = queue.sent(mac, digest, host=host, is_whole=is_whole, now_s=time.monotonic())
        if was_loading and not queue.is_loading(mac, host=host):
            self._watcher.loaded(mac, host)
            self._log.tell(f"machine {mac} has stage 0", source=counted_as(host))
        self._deliver(verdicts)

    async def _pi_image(self, request: Request) -> Response:
        name, folder = request.path_params["name"], self._place.pi_folder
        if folder is None or name not in (IMAGE_NAME, SIGNATURE_NAME):
            return no_such_file()
        return self._files.open(request, folder / name, "application/octet-stream")

    async def _board_file(self, request: Request) -> Response:
        folder, names = self._place.board_files, request.url.path.split("/")[1:]
        if folder is None or not all(_BOARD_NAME.match(name) for name in names):
            return no_such_file()
        return self._files.open(request, folder.joinpath(*names), "application/octet-stream")

    async def _binary(self, request: Request) -> Response:
        name = request.path_params["name"]
        own = self._place.memtest.file(f"/boot/{name}") if self._place.menus.has_memtest else None
        if name == UNIFIED_NAME and self.queue.stage0 is not None and self.queue.stage0.is_unified:
            own = self._place.site / layout.blob_path(self.queue.stage0.kernel.sha256)
        return self._files.open_binary(request, name, own)


def _script_response(script: str) -> Response:
    """Return a script as an answer; it is one machine's, as it asked, and no cache on the way may give it to others."""
    return PlainTextResponse(script, headers={"cache-control": "no-store"})


def _host(request: Request) -> str:
    return connection_address(request.client.host) if request.client else ""


def _own(request: Request) -> Source:
    """Return this server's own address."""
    host, port = request.scope["server"][:2]
    return Source(connection_address(str(host)), port)


def _origin(request: Request, *, is_port_told: bool = True) -> Source:
    """Return this server's address as the machine knows it: the one that it asked at."""
    own = _own(request)
    default_port = 80 if is_port_told else own.port
    return asked_at(request.headers.get("host", ""), own, default_port=default_port)
