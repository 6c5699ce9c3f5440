"""Connections as Hypercorn's trio worker serves them with ours in place of its own, over plain TCP on loopback."""

from __future__ import annotations

import gc
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from seeder.http import hypercorn_connection
from seeder.http.authority import issue_certificate
from seeder.http.crowd import Crowd, Patience

BOUND_S = 20.0
PATIENCE = Patience()
App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
Connect = Callable[[], Awaitable[trio.SocketStream]]
GET = b"GET / HTTP/1.1\r\nHost: seeder\r\n\r\n"


def answering(*chunks: bytes, before: Callable[[], Awaitable[None]] | None = None) -> App:
    """Return an application that reads the request, waits for `before` and answers with these chunks."""

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        while (await receive()).get("more_body"):
            pass
        if before is not None:
            await before()
        length = b"%d" % sum(map(len, chunks))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return application


@asynccontextmanager
async def serving(
    application: App, *, patience: Patience = PATIENCE, crowd: Crowd | None = None
) -> AsyncIterator[Connect]:
    """Serve an application; yield a function that connects to it."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    settings = hypercorn_connection.settings(listener, Crowd() if crowd is None else crowd, patience=patience)
    settings.graceful_timeout = 2 * BOUND_S
    stop = trio.Event()
    streams: list[trio.SocketStream] = []

    async def connect() -> trio.SocketStream:
        streams.append(await trio.open_tcp_stream("127.0.0.1", port))
        return streams[-1]

    with trio.fail_after(BOUND_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hypercorn_connection.serve, application, settings, stop.wait)
            yield connect
            stop.set()
        for stream in streams:
            await stream.aclose()


async def read_to(stream: trio.SocketStream, end: bytes) -> bytes:
    """Read until what was read ends so."""
    read = b""
    while not read.endswith(end):
        chunk = await stream.receive_some()
        assert chunk, f"the connection ended after {read!r}"
        read += chunk
    return read


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_a_small_answer_arrives_in_one_piece_on_a_kept_connection() -> None:
    async with serving(answering(b"hello")) as connect:
        stream = await connect()
        for _ in range(3):
            await stream.send_all(GET)
            answer = await stream.receive_some()
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"\r\n\r\nhello")


async def test_a_body_of_many_chunks_arrives_whole_and_in_order() -> None:
    chunks = [bytes([number]) * 40_000 for number in range(30)] + [b"HTTP/1.1 200 \r\n\r\n"]
    async with serving(answering(*chunks)) as connect:
        stream = await connect()
        for _ in range(2):
            await stream.send_all(GET)
            answer = await read_to(stream, chunks[-1])
            assert answer.partition(b"\r\n\r\n")[2] == b"".join(chunks)


async def test_an_answer_without_a_body_has_a_head() -> None:
    async with serving(answering()) as connect:
        stream = await connect()
        await stream.send_all(GET)
        assert (await read_to(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        await stream.send_all(GET.replace(b"GET", b"HEAD"))
        assert (await read_to(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_a_client_that_asks_whether_to_go_on_is_told_so() -> None:
    async with serving(answering(b"done")) as connect:
        stream = await connect()
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: seeder\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert (await read_to(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        await stream.send_all(b"body")
        assert (await read_to(stream, b"done")).startswith(b"HTTP/1.1 200")


async def test_a_connection_is_let_go_when_its_peer_closes_it() -> None:
    async with serving(answering(b"hello")) as connect:
        first = await connect()
        await first.send_all(GET)
        await read_to(first, b"hello")
        before = descriptors()
        for _ in range(10):
            stream = await connect()
            await stream.send_all(GET)
            await read_to(stream, b"hello")
            await stream.aclose()
        while descriptors() > before:  # noqa: ASYNC110 - the other end is another task's, and says nothing
            await trio.sleep(0.01)


async def test_an_unused_connection_is_closed_and_one_with_a_request_is_not() -> None:
    answer = trio.Event()
    async with serving(answering(b"hello", before=answer.wait), patience=Patience(idle_s=0.05)) as connect:
        busy, unused = await connect(), await connect()
        await busy.send_all(GET)
        assert await unused.receive_some() == b""
        late = await connect()
        assert await late.receive_some() == b""
        answer.set()
        await read_to(busy, b"hello")
        assert await busy.receive_some() == b""


async def test_unused_connections_do_not_hold_up_the_end() -> None:
    async with serving(answering(b"hello")) as connect:
        stream = await connect()
        await stream.send_all(GET)
        await read_to(stream, b"hello")


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
POST = b"POST / HTTP/1.1\r\nHost: seeder\r\n"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (PREFACE, b"505"),
        (b"GET / HTTP/2.0\r\n\r\n", b"505"),
        (b"CONNECT seeder:443 HTTP/1.1\r\nHost: seeder\r\n\r\n", b"505"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n", b"411"),
        (GET[:-2] + b"Content-Length: 10\r\n\r\n0123456789", b"400"),
        (GET[:-2] + b"X: " + b"x" * 70_000, b"431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
    ],
)
async def test_what_is_not_spoken_here_is_refused_and_ends_the_connection(said: bytes, status: bytes) -> None:
    async with serving(answering(b"hello")) as connect:
        stream = await connect()
        await stream.send_all(said)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 " + status)
        with suppress(trio.BrokenResourceError):
            assert await stream.receive_some() == b""


@pytest.mark.parametrize(
    "wish",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4\r\n",
    ],
)
async def test_a_wish_for_another_protocol_is_answered_in_this_one(wish: bytes) -> None:
    async with serving(answering(b"hello")) as connect:
        stream = await connect()
        for _ in range(2):
            await stream.send_all(GET[:-2] + wish + b"\r\n")
            assert (await read_to(stream, b"hello")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\r\n",
        b"GET / HT",
        POST + b"Content-Length: 9\r\n\r\n",
        POST + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    ],
)
async def test_a_client_that_drips_is_cut_off_when_its_time_is_over(said: bytes) -> None:
    soon = Patience(handshake_s=0.3, head_s=0.3, body_s=0.3, idle_s=0.3)
    async with serving(answering(b"hello"), patience=soon) as connect:
        stream = await connect()
        ended = trio.Event()

        async def drip() -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await stream.send_all(said)
                for _ in range(8 if said else 0):
                    await trio.sleep(0.1)
                    await stream.send_all(b"\r" if said == b"\r\n" else b"x")

        async def listen() -> None:
            with suppress(trio.BrokenResourceError):
                while await stream.receive_some():
                    pass
            ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip)
            nursery.start_soon(listen)
            with trio.fail_after(0.8):
                await ended.wait()
            nursery.cancel_scope.cancel()


async def test_an_answer_that_nobody_reads_is_dropped_and_one_that_is_read_slowly_is_not() -> None:
    crowd = Crowd()
    patience = Patience(idle_s=0.4, write_s=0.4, least_bytes_per_s=1e6)
    chunk = bytes(1 << 20)
    async with serving(answering(*[chunk] * 16), patience=patience, crowd=crowd) as connect:
        slow, unread = await connect(), await connect()
        await unread.send_all(GET)
        await slow.send_all(GET)
        left = len(chunk) * 16
        while left > 0:
            await trio.sleep(0.02)
            left -= len(await slow.receive_some(1 << 18))
        assert left <= 0
        while len(crowd) > 0:  # noqa: ASYNC110 - both end by themselves: one was dropped, the other is unused
            await trio.sleep(0.01)
        assert crowd.cut_off == 2


async def test_whatever_a_client_says_others_are_served() -> None:
    random = Random(16)
    words = [GET, PREFACE, POST, b"\r\n", b"\x00", b"Content-Length: 5\r\n", b"Expect: 100-continue\r\n", b"HTTP/1.1"]
    async with serving(answering(b"hello")) as connect:
        for _ in range(300):
            stream = await connect()
            with suppress(trio.BrokenResourceError):
                await stream.send_all(b"".join(random.choices(words, k=random.randrange(1, 9))) + random.randbytes(3))
            await trio.aclose_forcefully(stream)
        stream = await connect()
        await stream.send_all(GET)
        await read_to(stream, b"hello")


async def test_a_connection_that_has_ended_leaves_nothing_to_collect(tmp_path: Path) -> None:
    certificate = issue_certificate(tmp_path, ["127.0.0.1"])
    context = ssl.create_default_context(cafile=certificate.authority)
    listener = socket.create_server(("127.0.0.1", 0))
    port, stop = listener.getsockname()[1], trio.Event()
    settings = hypercorn_connection.settings(listener, Crowd(), certificate=certificate, patience=Patience(head_s=0.3))

    def left() -> int:
        return sum(
            isinstance(each, hypercorn_connection.Connection | hypercorn_connection.Http) for each in gc.get_objects()
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hypercorn_connection.serve, answering(b"hello"), settings, stop.wait)
        gc.collect()
        gc.disable()
        try:
            for said in (GET, PREFACE, b"", GET[:9], GET[:10]) * 3:
                transport = await trio.open_tcp_stream("127.0.0.1", port)
                stream = trio.SSLStream(transport, context, server_hostname="127.0.0.1", https_compatible=True)
                await stream.do_handshake()
                if said:
                    await stream.send_all(said)
                if said in (GET, PREFACE, GET[:10]):  # the last one is cut off: it drips
                    await stream.receive_some()
                await stream.aclose()
            with trio.fail_after(BOUND_S):
                while left() > 0:  # noqa: ASYNC110 - the other end is another task's, and says nothing
                    await trio.sleep(0.05)
        finally:
            gc.enable()
        stop.set()


def test_a_handshake_carries_no_tickets(tmp_path: Path) -> None:
    certificate = issue_certificate(tmp_path, ["127.0.0.1"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = hypercorn_connection.settings(listener, Crowd(), certificate=certificate).create_ssl_context()
    assert server is not None
    client = ssl.create_default_context(cafile=certificate.authority)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    asked = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (asking, asked, asking, asked):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    assert asking.version() == "TLSv1.3"
    assert to_client.pending == 0
