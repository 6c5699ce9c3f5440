"""Hypercorn's connections: HTTP/1.1 and nothing else, deadlines for clients, and a quarter of the turns a request.

For one small answer Hypercorn's trio worker goes back to the event loop 22 times: it writes head, body and end one by
one, each through a lock; passes every event to the application through a full turn; and starts and cancels a task for
each pause between two requests, which also holds a connection that its peer has closed until the pause is over. Here a
head goes out together with what follows it, what needs no waiting does not wait, and pauses are the crowd's to end.
Measured in docs/performance.md.

It also speaks what the seeder needs of HTTP/1.1, however a client asks: Hypercorn goes over to HTTP/2 at its preface
(RFC 9113, 3.4) and at `Upgrade: h2c`, and to WebSocket, where memory has other bounds and deadlines do not reach.

It reads and writes no HTTP: that is h11's, driven by Hypercorn. It refines parts of Hypercorn that are not promised to
stay (0.17 and 0.18 have them); tests/integration/seeder/test_connection.py says what must hold of any version.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import h11
import hypercorn.trio
import hypercorn.trio.run
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.trio.task_group import TaskGroup, _handle
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from seeder.http.authority import ServerCertificate
from seeder.http.crowd import Crowd, Patience, Place
from seeder.http.turnstile import Turnstile
from swarmboot.text.addresses import connection_address, counted_as

BACKLOG = 4096
WATCH_S = 1.0
"""How often the crowd is looked at for connections past their deadline."""

_HEAD_MAX = 16_384
_REQUESTS_MAX = 1 << 30
_EVENTS_MAX = 4
"""How many pieces of a body, of 64 KiB at most, wait for an application that does not read them."""


class Settings(Config):
    """Hypercorn's, with the crowd that connections stand in, their deadlines, and whose handshake is next.

    A TLS handshake sends no session tickets: a node keeps its connections, and two tickets are 510 of 1296 bytes.
    """

    crowd: Crowd
    patience: Patience
    turnstile: Turnstile
    when_listening: Callable[[ssl.SSLContext], None]
    when_refused: Callable[[str, str], None]

    def create_ssl_context(self) -> ssl.SSLContext | None:
        """Return the context of `certfile` and `keyfile`, which is told; None without them."""
        context = super().create_ssl_context()
        if context is not None:
            context.num_tickets = 0
            self.when_listening(context)
        return context


def settings(
    listener: socket.socket,
    crowd: Crowd,
    *,
    certificate: ServerCertificate | None = None,
    patience: Patience = Patience(),  # noqa: B008 - a frozen value
    when_listening: Callable[[ssl.SSLContext], None] = lambda _context: None,
    when_refused: Callable[[str, str], None] = lambda _host, _reason: None,
) -> Settings:
    """Return what Hypercorn is told: HTTP/1.1 on `listener`, which it takes over, over TLS with a certificate.

    `when_listening` is told the TLS context, whose certificate may be changed later; `when_refused` the address of a
    client that has not accepted this server's certificate, and OpenSSL's name of the alert (RFC 8446, section 6.2).
    """
    made = Settings()
    made.crowd, made.patience, made.turnstile = crowd, patience, Turnstile()
    made.when_listening, made.when_refused = when_listening, when_refused
    made.bind = [f"fd://{listener.detach()}"]
    if certificate is not None:
        made.certfile, made.keyfile = str(certificate.certificate), str(certificate.key)
    made.alpn_protocols = ["http/1.1"]
    made.accesslog = None
    made.errorlog = None
    made.graceful_timeout = 1.0
    made.keep_alive_max_requests = _REQUESTS_MAX
    made.h11_max_incomplete_size = _HEAD_MAX
    made.max_app_queue_size = _EVENTS_MAX
    made.backlog = BACKLOG
    made.include_server_header = False
    return made


async def serve(application: Any, made: Settings, stop: Callable[[], Awaitable[None]]) -> None:
    """Serve an ASGI application until `stop` returns; requests under way are given a moment to finish."""
    worker: Any = hypercorn.trio.run
    worker.TCPServer = Connection
    crowd = made.crowd
    period_s = min(WATCH_S, made.patience.idle_s / 4)

    async def watch() -> None:
        while True:
            await trio.sleep(period_s)
            crowd.expire(trio.current_time())

    async def stopping() -> None:
        await stop()
        crowd.stop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        nursery.start_soon(made.turnstile.run)
        await hypercorn.trio.serve(application, made, shutdown_trigger=stopping)
        nursery.cancel_scope.cancel()


class Http(h11.Connection):
    """One connection's HTTP/1.1, and whose turn it is: the client's until a head is whole and while a body comes.

    Requests that speak or ask for another protocol, and bodies whose length is not told or not asked for, are refused
    with an error that carries the answer's status (RFC 9110, 15.5 and 15.6); Hypercorn sends it and closes.
    """

    def __init__(self, place: Place, patience: Patience) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=_HEAD_MAX)
        self._place = place
        self._patience = patience

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return what the client has said next; raise RemoteProtocolError for what is not spoken here."""
        event = super().next_event()
        kind = type(event)
        if kind is h11.Request:
            return self._begin(event)  # type: ignore[arg-type]
        if kind is h11.EndOfMessage:
            self._place.work()
        return event

    def _begin(self, request: h11.Request) -> h11.Request:
        if request.http_version not in (b"1.1", b"1.0") or request.method in (b"PRI", b"CONNECT"):
            raise h11.RemoteProtocolError("HTTP/1.1 is spoken here", error_status_hint=505)
        has_body = has_upgrade = False
        for name, value in request.headers:
            if name == b"content-length":
                has_body = value != b"0"
            elif name == b"transfer-encoding":
                raise h11.RemoteProtocolError("a body's length must be told", error_status_hint=411)
            elif name == b"upgrade":
                has_upgrade = True
        if not has_body:
            self._place.work()
        elif request.method == b"POST":
            self._place.wait(trio.current_time(), self._patience.body_s)
        else:
            raise h11.RemoteProtocolError("this method has no body", error_status_hint=400)
        return _without_upgrade(request) if has_upgrade else request


def _without_upgrade(request: h11.Request) -> h11.Request:
    """Return a request without its wish for another protocol, which a server may ignore (RFC 9110, 7.8)."""
    kept = [(name, value) for name, value in request.headers if name != b"upgrade"]
    return h11.Request(method=request.method, target=request.target, headers=kept, http_version=request.http_version)


def _canonical(end: Any) -> Any:
    """Return one end of a connection with its address as everybody else writes it.

    On a socket for both families an IPv4 address is one in IPv6 (RFC 4291, section 2.5.5.2); a scope is this machine's.
    """
    return end and (connection_address(end[0]) or end[0], *end[1:])


class Connection(TCPServer):
    """One TCP connection, plain or TLS."""

    config: Settings
    place: Place

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._head = b""
        self._is_in_body = False

    async def run(self) -> None:
        """Serve the connection to its end; whatever is wrong with it ends it alone."""
        crowd, is_tls = self.config.crowd, isinstance(self.stream, trio.SSLStream)
        transport: Any = self.stream.transport_stream.socket if is_tls else self.stream.socket
        try:
            client = _canonical(parse_socket_addr(transport.family, transport.getpeername()))
            server = _canonical(parse_socket_addr(transport.family, transport.getsockname()))
        except OSError:  # it has gone already
            return
        with trio.CancelScope() as scope:
            now_s = trio.current_time()
            place = crowd.enter(client[0] if client else "", scope.cancel, now_s=now_s)
            if place is None:
                return
            self.place = place
            try:
                place.wait(now_s, self.config.patience.handshake_s, is_idle=True)
                if is_tls:
                    await trio.lowlevel.wait_readable(transport)
                    await self.config.turnstile.enter(counted_as(client[0] if client else ""))
                    await self._shake_hands(client)
                await self._converse(client, server, is_tls=is_tls)
            except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                pass  # it has ended, in whatever way
            except* (h11.ProtocolError, ValueError):
                pass  # what it said, or how it stopped saying it, fits nothing: it ends
            finally:
                crowd.leave(place)
                await self._dissolve()

    async def _shake_hands(self, client: Any) -> None:
        """Shake hands; raise BrokenResourceError as trio does, once it is told that the client refuses, if it does."""
        try:
            await self.stream.do_handshake()
        except trio.BrokenResourceError as error:
            if isinstance(error.__cause__, ssl.SSLError) and "_ALERT_" in (error.__cause__.reason or ""):
                self.config.when_refused(client[0] if client else "", error.__cause__.reason or "")
            raise

    async def _dissolve(self) -> None:
        """Close, and break the circles of what is left, or 60 kB wait for a full collection, which comes seldom.

        trio's SSLStream refers to itself by the handshake it remembers, Hypercorn's protocol to the connection.
        """
        try:
            with trio.CancelScope() as scope:
                scope.cancel()
                await self.stream.aclose()
        finally:  # one that was cut off is cancelled from outside as well
            for name in ("_handshook", "_ssl_object", "_incoming", "_outgoing"):
                vars(self.stream).pop(name, None)
            for name in ("protocol", "_task_group"):
                vars(self).pop(name, None)

    async def _converse(self, client: Any, server: Any, *, is_tls: bool) -> None:
        try:
            async with Tasks() as task_group:
                self._task_group = task_group
                state = ConnectionState(self.state)
                self.protocol = ProtocolWrapper(
                    self.app,
                    self.config,
                    self.context,
                    task_group,
                    state,
                    is_tls,
                    client,
                    server,
                    self.protocol_send,
                    "http/1.1",
                )
                self.protocol.protocol.connection = Http(self.place, self.config.patience)
                self._rest()
                await self._read()
                await self.protocol.handle(Closed())
        finally:
            await self._close()

    async def protocol_send(self, event: Event) -> None:
        """Write what the protocol says, a response's head together with what follows it."""
        if isinstance(event, RawData):
            connection: Any = self.protocol.protocol.connection
            is_in_body = connection.our_state is h11.SEND_BODY
            if is_in_body and not self._is_in_body:
                self._head, self._is_in_body = event.data, True
                return
            data, self._head, self._is_in_body = self._head + event.data, b"", is_in_body
            if data:
                await self._write(data)
        elif isinstance(event, Updated):
            if event.idle:
                self._rest()
        else:
            # An application that hears of the end as soon as it has sent the last byte, as Starlette's files do, may be
            # cancelled in here: the client would wait for the end for ever.
            with trio.CancelScope(shield=True):
                await super().protocol_send(event)

    def _rest(self) -> None:
        """Wait for the next request; not while the seeder stops."""
        self.place.wait(trio.current_time(), self.config.patience.idle_s, is_idle=True)
        if self.config.crowd.is_stopping:
            self.place.cut()

    async def _write(self, data: bytes) -> None:
        """Write; a client that does not read in time is cut off, as is everyone when the server stops."""
        try:
            self.send_lock.acquire_nowait()
        except trio.WouldBlock:
            await self.send_lock.acquire()
        place, patience = self.place, self.config.patience
        due_s = place.due_s
        place.wait(trio.current_time(), patience.write_s + len(data) / patience.least_bytes_per_s)
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await self.protocol.handle(Closed())
        finally:
            place.due_s = due_s
            self.send_lock.release()

    async def _read(self) -> None:
        place, patience = self.place, self.config.patience
        while True:
            try:
                data = await self.stream.receive_some(MAX_RECV)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                return
            if place.is_idle:
                place.wait(trio.current_time(), patience.head_s)
            await self.protocol.handle(RawData(bytes(data)))
            if not data:
                return


class Tasks(TaskGroup):
    """A connection's tasks: what an application is told reaches it at once if there is room."""

    async def spawn_app(self, app: Any, config: Any, scope: Any, send: Any) -> Any:
        """Start the application for one request; return the function that tells it what happens."""
        teller, told = trio.open_memory_channel[Any](config.max_app_queue_size)

        async def tell(event: Any) -> None:
            try:
                teller.send_nowait(event)
            except trio.WouldBlock:
                await teller.send(event)

        async def receive() -> Any:
            try:
                return told.receive_nowait()
            except trio.WouldBlock:
                return await told.receive()

        self.spawn(_handle, app, config, scope, receive, send, trio.to_thread.run_sync, trio.from_thread.run)
        return tell
