"""Questions to origins that answer a little at a time: each ends in time, however often a byte comes."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from leecher.origin.connection_pool import Connections
from leecher.origin.range_request import ByteRange, RangeRequest
from leecher.origin.small_request import SmallRequest
from swarmboot.errors import ProtocolError, StalledError
from tests.support.waiting import BOUND_S

HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = HEAD + b"content-length: 100000\r\n\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
DRIPS = {
    "status line": (b"", itertools.repeat(b"H")),
    "header": (HEAD + b"x: ", itertools.repeat(b"y")),
    "headers": (HEAD, itertools.repeat(b"\r")),
    "interim answers": (b"", itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "body": (LENGTH, itertools.repeat(b"z")),
    "chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n", itertools.repeat(b"1\r\nz\r\n")),
    "trailer": (CHUNKED + b"t: ", itertools.repeat(b"y")),
    "trailers": (CHUNKED, itertools.repeat(b"t: y\r\n")),
}


@contextmanager
def answering(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """Have every connection answered so, in a thread of its own, until the context ends."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            answer(connection, over)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/document"
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def ended(request: SmallRequest | RangeRequest) -> Exception | None:
    """Run an exchange in a thread; return what it raised. It must end."""
    failures: list[Exception] = []

    def run() -> None:
        try:
            request.run()
        except (StalledError, ProtocolError) as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(BOUND_S / 4)
    assert not thread.is_alive(), "the question has no end"
    return failures[0] if failures else None


@pytest.mark.parametrize("drip", DRIPS)
def test_an_answer_that_comes_a_little_at_a_time_ends_in_time(drip: str) -> None:
    begin, rest = DRIPS[drip]

    def answer(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(begin)
        for part in rest:
            connection.sendall(part)
            if over.wait(0.05):
                return

    with answering(answer) as url, closing(Connections(ssl.create_default_context())) as connections:
        assert isinstance(ended(SmallRequest(connections, url, max_bytes=1 << 20, silent_s=0.4)), StalledError)


def test_interim_answers_at_full_speed_end_in_time() -> None:
    def answer(connection: socket.socket, over: threading.Event) -> None:
        while not over.is_set():
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    with answering(answer) as url, closing(Connections(ssl.create_default_context())) as connections:
        assert isinstance(ended(SmallRequest(connections, url, max_bytes=1 << 20, silent_s=0.4)), StalledError)


def test_a_runs_head_that_drips_ends_in_time() -> None:
    def answer(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 206 Partial Content\r\nx: ")
        while not over.wait(0.05):
            connection.sendall(b"y")

    with answering(answer) as url, closing(Connections(ssl.create_default_context())) as connections:
        request = RangeRequest(connections, ByteRange(url, 0, 65536, 65536), print)
        request._silent_s = 0.4  # ten seconds otherwise
        assert isinstance(ended(request), StalledError)


def test_a_slow_answer_that_is_fast_enough_arrives() -> None:
    data = bytes(range(256)) * 16

    def answer(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % (5 * len(data)))
        for _ in range(5):
            over.wait(0.15)
            connection.sendall(data)

    with answering(answer) as url, closing(Connections(ssl.create_default_context())) as connections:
        request = SmallRequest(connections, url, max_bytes=1 << 20, silent_s=0.5)
        assert ended(request) is None
        assert request.answer == 5 * data


def test_a_server_that_is_silent_before_it_is_asked_is_said_to_be_so_for_as_long_as_it_was() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/document"
        with closing(Connections(ssl.create_default_context(), connect_s=0.4)) as connections:
            failure = ended(SmallRequest(connections, url, max_bytes=1 << 20))
    assert str(failure) == f"{url} sends nothing: found silence for 0.4 s"


@pytest.mark.parametrize("sent", [LENGTH + b"z" * 50, LENGTH[:-3], HEAD, HEAD + b"content-type: x\r\n"])
def test_an_answer_that_breaks_off_is_none(sent: bytes) -> None:
    def answer(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(sent)

    with answering(answer) as url, closing(Connections(ssl.create_default_context())) as connections:
        request = SmallRequest(connections, url, max_bytes=1 << 20)
        assert isinstance(ended(request), ProtocolError)
        assert request.answer == b""
