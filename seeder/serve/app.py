"""The seeder's HTTPS server: the site's files with Range requests, announces, boot reports and a status page.

An ASGI application on Starlette, run by Hypercorn's trio worker. It carries facts to the tracker and its answers to the
nodes; it decides nothing. The seeder is an origin and a coordinator, not a BitTorrent peer.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from seeder.http.crowd import Crowd
from seeder.http.file_response import BlobResponse, OpenFiles, chunk_bytes_for, no_more_files
from seeder.http.held_requests import HeldRequests
from seeder.http.pacer import Pacer, Share
from seeder.http.refusals import Refusals, refusal_kind
from seeder.http.request_body import BodyRoom
from seeder.log import Level, Log
from seeder.monitoring.current import Counted, Current
from seeder.monitoring.meters import Meters
from seeder.monitoring.routes import monitoring_routes
from seeder.monitoring.scrape import Scrapes
from seeder.monitoring.status import STRANGERS, Network, may_read_status
from seeder.policy.facts.node import ImpostorError
from seeder.policy.tracker import Answer, Tracker
from seeder.record.api import Api
from seeder.record.recorder import Recorder
from seeder.serve.guard import Guard
from seeder.serve.lines.node_lines import LinesTaken
from seeder.serve.lines.report_line import report_line
from seeder.serve.private import private_routes
from seeder.serve.witness import Witness
from seeder.site.catalogue import Catalogue
from seeder.site.lifetimes import Lifetime
from seeder.site.reader import channel_names
from seeder.ui.access import Access
from seeder.ui.page import Page
from swarmboot.codec import DecodeError
from swarmboot.crypto.fleet_token import Proof
from swarmboot.release import layout
from swarmboot.text.addresses import connection_address, counted_as, is_dialable
from swarmboot.text.spelling import nearest
from swarmboot.text.units import GOODPUT
from swarmboot.wire.announce import ANNOUNCE_MAX_BYTES, ANNOUNCE_PATH, REPORT_PATH, WIRE_TYPE, Handout, decode_announce
from swarmboot.wire.announce import encode_handout as encode
from swarmboot.wire.node_log import LOG_MAX_BYTES, LOG_PATH, decode_lines, encode_taken
from swarmboot.wire.report import FAILED, REPORT_MAX_BYTES, decode_report

REFRESH_S = 1.0
HIDDEN_MAX = 16
STATUS_PATH = "/status"
CHANNELS_PATH = "/channels"
_FILES = {
    "blobs": (re.compile(r"[0-9a-f]{64}\Z"), "application/octet-stream", True),
    "torrents": (re.compile(r"[0-9a-f]{64}\.torrent\Z"), "application/x-bittorrent", True),
    "manifests": (layout.MANIFEST_NAME, "application/octet-stream", True),
    "channels": (re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\.swarm\Z"), "application/octet-stream", False),
    "keys": (layout.KEYS_NAME, "application/octet-stream", True),
    "systemd": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,254}\Z"), "application/octet-stream", False),
}


class SeederApp:
    """The seeder's HTTP application and the task that answers nodes who wait."""

    def __init__(
        self,
        tracker: Tracker,
        catalogue: Catalogue,
        log: Log,
        *,
        crowd: Crowd,
        guard: Guard | None = None,
        node_files: Path | None = None,
        status_from: tuple[Network, ...] = (),
        record: Recorder | None = None,
        ui_token: bytes = b"",
    ) -> None:
        self.tracker = tracker
        self.crowd = crowd
        self.guard = guard or Guard()
        self._node_files = node_files
        self._status_from = status_from
        self.record = record or Recorder(tracker.registry, catalogue, tell=log.tell)
        self.record.limit_bytes_per_s = tracker.limits.uplink_bytes_per_s
        self.record.sent_bytes = lambda: self.sent_bytes + self.current.stage0_sent_bytes
        self.page = Page(Access(ui_token), self._is_near)
        self.api = Api(self.record, self.page.may_read)
        self.catalogue = catalogue
        self.log = log
        self.sent_bytes = 0
        self._witness = Witness(tracker.registry, catalogue)
        known = tracker.registry.standing.known_near
        self.pacer = Pacer(tracker.limits.uplink_bytes_per_s * GOODPUT, nodes_at=lambda address: known[address])
        self._files = OpenFiles()
        self._room = BodyRoom()
        self._refusals = Refusals()
        self._told_hidden: set[str] = set()
        self.meters = Meters()
        self.current = Current(tracker.registry, catalogue, crowd, tracker.limits.uplink_bytes_per_s, self._counted)
        self.current.addressless = self.record.without_address
        self._scrapes = Scrapes(self.meters, self.current)
        self.ends: Callable[[], tuple[Lifetime, ...]] = tuple
        self.lines: LinesTaken | None = None
        self.more_for: Callable[[str, str], float] = lambda _host, _sha256: 0.0
        self.more_routes: Callable[[Callable[[Request], bool]], Sequence[Route]] = lambda _may_read: ()
        self._held = HeldRequests[Handout](lambda now_s: tracker.next_tick_s(now_s=now_s))

    def application(self) -> ASGIApp:
        """Return the ASGI application: Starlette, but for announces and nodes' lines, whose way is a short one.

        They are most of what a rack asks for; Starlette's routing and error handling would cost as much as the tracker.
        """
        starlette = Starlette(
            routes=[
                Route(REPORT_PATH, self._report, methods=["POST"]),
                Route(STATUS_PATH, self._status),
                Route(CHANNELS_PATH, self._channels),
                *monitoring_routes(self._scrapes, lambda: self.ends(), self.page.may_read),
                *self.more_routes(self.page.may_read),
                *self.api.routes(),
                *self.page.routes(),
                *private_routes(self.guard, self.catalogue.folder, self._node_files),
                Route("/{kind}/{name}", self._file),
                Route("/{kind:str}/{channel}/{name}", self._file),
            ]
        )

        short = {ANNOUNCE_PATH: self._announce, **({LOG_PATH: self._lines} if self.lines else {})}

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] in short and scope["method"] == "POST":
                response = await short[scope["path"]](scope, receive)
                await response(scope, receive, send)
            else:
                await starlette(scope, receive, send)

        return application

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer waiting nodes and follow the site while the context is open."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._held.run, self._tick)
            nursery.start_soon(self._refresh)
            nursery.start_soon(self.api.broadcast.run)
            yield
            nursery.cancel_scope.cancel()

    def _tick(self, now_s: float) -> None:
        self._deliver(self.tracker.tick(now_s=now_s))

    async def _refresh(self) -> None:
        while True:
            await trio.sleep(REFRESH_S)
            findings = self.catalogue.take(await trio.to_thread.run_sync(self.catalogue.read))
            for complaint in findings.complaints:
                self.log.tell(complaint, source="the site")
            self._tell_hidden()
            if findings.changed:
                self.log.tell("the site was made anew: other manifests than before have the same numbers")
            for manifest in findings.appeared.values():
                self.log.tell(f"manifest {manifest.sequence} ({manifest.name}) is being served")
            self.log.tell_left_out()

    def _tell_hidden(self) -> None:
        """Say once of an address that nodes come through a proxy or NAT there, at most of HIDDEN_MAX addresses."""
        for host, count in self.tracker.registry.standing.hidden_at.items():
            if count > 1 and host not in self._told_hidden and len(self._told_hidden) < HIDDEN_MAX:
                self._told_hidden.add(host)
                self.log.tell(
                    f"{count} nodes seem to be at {host}: a proxy or NAT stands between, and nobody can dial them "
                    "there; they look for each other on their own LAN, by multicast"
                )

    def _deliver(self, answers: list[Answer]) -> None:
        for answer in answers:
            self._held.give(answer.ticket, answer.handout)

    async def posted(
        self, scope: Scope, receive: Receive, path: str, most: int
    ) -> tuple[Proof | None, bytes] | Response:
        """Return what a node has posted, undecoded, and its proof; or the answer to one that is refused."""
        proof = self.guard.proof(scope)
        if proof is None and not self.guard.is_open:
            return self._unproved(scope)
        body = await self._room.read(receive, most)
        if not isinstance(body, bytes):
            self.meters.refuse("body")
            return body
        return (proof, body) if self.guard.is_node(proof, path, body) else self._unproved(scope)

    def _unproved(self, scope: Scope) -> Response:
        """Answer a node without the fleet's proof, and take note of it."""
        host = connection_address(scope["client"][0] if scope.get("client") else "")
        if is_dialable(host, is_here=True):
            self.record.refused(host, "token")
        return self.guard.refusal(scope)

    async def _announce(self, scope: Scope, receive: Receive) -> ASGIApp:
        host = connection_address(scope["client"][0] if scope.get("client") else "")
        if not is_dialable(host, is_here=True):
            return self._refuse("address", 400, "no node can be reached at the address this comes from")
        posted = await self.posted(scope, receive, ANNOUNCE_PATH, ANNOUNCE_MAX_BYTES)
        if isinstance(posted, Response):
            return posted
        proof, body = posted
        request = self._held.open()
        try:
            announce = decode_announce(body)
            if not self.guard.is_named(proof, announce.node):
                return self.guard.refusal(scope)
            self._deliver(self.tracker.announce(request, announce, host=host, now_s=time.monotonic()))
            self._held.stir()
            self.record.announced(announce, host=host)
            self.meters.announces.inc()
            handout = await request.answer_or_hang_up(receive)
        except DecodeError as error:
            return self._refuse("malformed", 400, str(error))
        except ImpostorError as error:
            return self._refuse("impostor", 403, str(error))
        finally:
            if self._held.close(request):
                self.tracker.withdraw(request)
        return _Packed(encode(handout)) if handout else Response(status_code=499)

    async def _lines(self, scope: Scope, receive: Receive) -> ASGIApp:
        assert self.lines is not None
        host = connection_address(scope["client"][0] if scope.get("client") else "")
        posted = await self.posted(scope, receive, LOG_PATH, LOG_MAX_BYTES)
        if isinstance(posted, Response):
            return posted
        proof, body = posted
        try:
            said = decode_lines(body)
            if not self.guard.is_named(proof, said.node):
                return self.guard.refusal(scope)
            return _Packed(encode_taken(self.lines.take(said, host=host, is_proved=proof is not None)))
        except DecodeError as error:
            return self._refuse("malformed", 400, str(error))
        except ImpostorError as error:
            return self._refuse("impostor", 403, str(error))

    async def _report(self, request: Request) -> Response:
        posted = await self.posted(request.scope, request.receive, REPORT_PATH, REPORT_MAX_BYTES)
        if isinstance(posted, Response):
            return posted
        proof, body = posted
        try:
            report = decode_report(body)
        except DecodeError as error:
            return self._refuse("malformed", 400, str(error))
        if not self.guard.is_named(proof, report.node):
            return self.guard.refusal(request.scope)
        host = connection_address(request.client.host if request.client else "")
        if not self.tracker.believes(report, host=host, now_s=time.monotonic()):
            return self._refuse("impostor", 403, "this report is not its node's own")
        self.record.reported(report, host=host)
        self.meters.take(report)
        level = Level.WARNING if report.outcome == FAILED else Level.INFO
        self.log.tell(report_line(report, host=host), source=counted_as(host) or "nobody", level=level)
        return Response(status_code=204)

    def handshake_refused(self, host: str, alert: str) -> None:
        """Take note of a client that does not accept this server's certificate."""
        if kind := refusal_kind(alert):
            self.record.refused(host, kind)
        if said := self._refusals.hear(host, alert, now_s=time.monotonic()):
            self.log.tell(said)

    def _is_near(self, request: Request) -> bool:
        """Return whether whoever asks may read what the fleet does without a token: by where it is."""
        client, own = (str((request.scope.get(end) or ("",))[0]) for end in ("client", "server"))
        return may_read_status(client, own, self._status_from)

    async def _status(self, request: Request) -> Response:
        proof = self.guard.proof(request.scope)
        if not self.page.may_read(request) and not self.guard.is_fleet(proof, STATUS_PATH, b""):
            return JSONResponse(STRANGERS)
        nodes = self.tracker.registry.nodes.values()
        return JSONResponse(
            {
                "newest_manifest": self.catalogue.newest,
                "nodes": len(nodes),
                "complete": sum(node.is_complete for node in nodes),
                "open_leases": self.tracker.registry.open_leases,
                "sent_bytes": self.sent_bytes,
                "connections": len(self.crowd),
                "cut_off": self.crowd.cut_off,
                "refused_handshakes": self._refusals.count,
                "from_neighbours_bytes": sum(node.from_neighbours_bytes for node in nodes),
                "from_origin_bytes": sum(node.from_origin_bytes for node in nodes),
                "stage0": self.current.stage0.status() if self.current.stage0 else None,
            }
        )

    async def _channels(self, _request: Request) -> Response:
        """Say which channels there are, which are signed one by one; `swarmboot pull` asks."""
        names = await trio.to_thread.run_sync(channel_names, self.catalogue.folder)
        return JSONResponse({"channels": names}, headers={"cache-control": "no-cache"})

    def _counted(self) -> Counted:
        return Counted(self.sent_bytes, self._refusals.count, self.log.left_out, self.guard.refused)

    def _refuse(self, reason: str, status: int, text: str) -> PlainTextResponse:
        """Return the answer to a request that is refused, having counted it."""
        self.meters.refuse(reason)
        return PlainTextResponse(f"{text}\n", status_code=status)

    async def _file(self, request: Request) -> Response:
        kind, name = request.path_params["kind"], request.path_params["name"]
        channel = request.path_params.get("channel", "")
        pattern, media_type, is_immutable = _FILES.get(kind, (None, "", False))
        is_right = (kind == "systemd") == layout.is_channel_name(channel)
        if pattern is None or not pattern.match(name) or not is_right:
            return self._refuse("file", 404, "no such file")
        path = self.catalogue.folder / kind / channel / name
        try:
            file = self._files.open(path)
        except OSError:
            return no_more_files()
        if file is None:
            if kind == "channels":
                return self._no_channel(request, name.removesuffix(".swarm"))
            return self._refuse("file", 404, "no such file")
        cache = "public, max-age=31536000, immutable" if is_immutable else "no-cache"
        host = request.client.host if request.client else ""
        more = self.more_for(connection_address(host), name) if kind == "blobs" else 0.0
        share = self.pacer.enter(host, more=more)
        return BlobResponse(
            self._files,
            file,
            path,
            before_send=self._turns(share, request, host, name if kind == "blobs" else ""),
            at_end=lambda: self.pacer.leave(share, more=more),
            media_type=media_type,
            headers={"cache-control": cache},
            chunk_bytes=chunk_bytes_for(self.tracker.limits.uplink_bytes_per_s, self._files.readers, weight=1.0 + more),
        )

    def _no_channel(self, request: Request, name: str) -> Response:
        """Answer somebody who asks for a channel that is not there, and take note: it is likely a node that waits."""
        host = connection_address(request.client.host if request.client else "")
        if is_dialable(host, is_here=True):
            self.record.missed(host, name)
        self.meters.refuse("channel")
        known = channel_names(self.catalogue.folder)
        meant = nearest(name, known)
        hint = f" (did you mean {meant}?)" if meant else ""
        return PlainTextResponse(
            f"no such channel; this site has {', '.join(known) or 'none'}{hint}\n", status_code=404
        )

    def _turns(self, share: Share, request: Request, host: str, digest: str) -> Callable[[int], Awaitable[None]]:
        """Return what a file's chunks wait for, seen by the witness if they are a run of a blob's pieces."""
        wanted = request.headers.get("range", "")
        see = self._witness.watch(digest, wanted, host=host) if digest else None
        release_bytes = self.catalogue.release_bytes.get(digest, 0)

        async def take_turn(size_bytes: int) -> None:
            await self.pacer.take(share, size_bytes)
            self.sent_bytes += size_bytes
            if digest:
                self.record.sent_of[digest] += size_bytes
            if release_bytes:
                self.meters.copies.inc(size_bytes / release_bytes)
            if see is not None:
                see(size_bytes)

        return take_turn


class _Packed:
    """A handout or the like as an answer: what Starlette's Response sends, without its making."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", WIRE_TYPE.encode()), (b"content-length", b"%d" % len(self._body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})
