"""A booted node's HTTP server among clients that mean it ill."""

from __future__ import annotations

import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from leecher.neighbour import http_server, room
from leecher.neighbour.http_server import NeighbourServer
from tests.support.waiting import BOUND_S, wait_until

DOCUMENT = bytes(range(256)) * 4096
SIZE_BYTES = 64 << 20
ASKING = b"GET /manifests/1.swarm HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NeighbourServer]:
    server = NeighbourServer("127.0.0.30", metrics=str)
    server.documents = {"manifests/1.swarm": DOCUMENT}
    with (tmp_path / "kernel").open("wb") as file:
        file.truncate(SIZE_BYTES)
    server.files = {"aa": tmp_path / "kernel"}
    server.start()
    yield server
    server.close()


def test_files_that_went_whole_to_machines_are_counted_and_told_others_not(server: NeighbourServer) -> None:
    told: list[int] = []
    server.at_sent = lambda: told.append(server.sent["aa"])
    at = f"http://127.0.0.30:{server.port}/k/aa"
    with urllib.request.urlopen(at, timeout=BOUND_S) as answer:  # a node's
        assert len(answer.read()) == SIZE_BYTES
    with dial(server, "127.0.0.31") as half:
        half.sendall(b"GET /k/aa?mac=52-54-00-00-00-01 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert head_of(half)
    with urllib.request.urlopen(f"{at}?mac=52-54-00-00-00-02", timeout=BOUND_S) as answer:
        assert len(answer.read()) == SIZE_BYTES
    wait_until("one load", lambda: told == [1])


def test_a_machine_waits_a_moment_for_what_a_node_fetches_and_no_longer_for_one_that_takes_nothing(
    server: NeighbourServer,
) -> None:
    at = f"http://127.0.0.30:{server.port}/k/aa?mac=52-54-00-00-00-01"
    with dial(server, "127.0.0.31") as node:
        node.sendall(b"GET /k/aa HTTP/1.1\r\nHost: x\r\n\r\n")
        assert head_of(node)
        began_s = time.monotonic()
        with urllib.request.urlopen(at, timeout=BOUND_S) as answer:
            assert len(answer.read()) == SIZE_BYTES
        assert time.monotonic() - began_s >= http_server.AFTER_NODES_S
        wait_until("the node alone", lambda: server.loads == 1)
    wait_until("nobody", lambda: not server.loads)
    assert server.wait_for_nodes(BOUND_S) < 1.0


def dial(server: NeighbourServer, host: str) -> socket.socket:
    return socket.create_connection(("127.0.0.30", server.port), timeout=BOUND_S, source_address=(host, 0))


def document(server: NeighbourServer) -> bytes:
    """Return the document as an honest client gets it."""
    with urllib.request.urlopen(f"http://127.0.0.30:{server.port}/manifests/1.swarm", timeout=BOUND_S) as answer:
        data: bytes = answer.read()
    return data


def head_of(connection: socket.socket) -> bytes:
    """Return the first line of an answer, or nothing if the connection ends."""
    line = b""
    with suppress(ConnectionError):
        while not line.endswith(b"\n") and (part := connection.recv(1)):
            line += part
    return line


@pytest.mark.parametrize("sent", [b"", b"GET /", ASKING], ids=["silent", "half a line", "reads nothing"])
def test_many_slow_connections_keep_nobody_out(
    server: NeighbourServer, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_TAKES_S", 0.0)
    with ExitStack() as stack:
        for number in range(120):
            slow = stack.enter_context(dial(server, f"127.0.{1 + number % 40}.2"))
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(sent)
        before = threading.active_count()
        assert document(server) == DOCUMENT
        assert before < room.MAX_AT_ONCE + 30


def test_one_address_has_a_share_of_the_room(server: NeighbourServer) -> None:
    with ExitStack() as stack:
        others = [stack.enter_context(dial(server, f"127.0.{number}.2")) for number in range(1, 30)]
        for _ in range(100):
            stack.enter_context(dial(server, "127.0.50.2"))
        late = stack.enter_context(dial(server, "127.0.60.2"))
        for other in (late, *others):  # once the latest is answered, all before it have been let in or not
            other.sendall(ASKING)
            assert head_of(other).startswith(b"HTTP/1.1 200")


def test_a_head_that_drips_ends(server: NeighbourServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_HEAD_S", 0.3)
    with dial(server, "127.0.0.2") as slow, suppress(BrokenPipeError, ConnectionResetError):
        slow.sendall(b"GET / HTTP/1.1\r\nx: ")
        slow.settimeout(0.02)
        for _ in range(1000):
            slow.sendall(b"y")
            with suppress(TimeoutError):
                assert slow.recv(1) == b""
                return
        pytest.fail("it goes on for ever")


def test_a_huge_head_is_refused(server: NeighbourServer) -> None:
    with dial(server, "127.0.0.2") as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        with suppress(ConnectionError):
            for number in range(60):
                client.sendall(b"x%d: %s\r\n" % (number, b"y" * 1000))
            assert head_of(client).startswith((b"HTTP/1.1 431", b""))
    assert document(server) == DOCUMENT


def test_a_load_that_nobody_takes_ends(server: NeighbourServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_ANSWER_S", 0.2)
    monkeypatch.setattr(http_server, "_LOAD_BYTES_PER_S", 1 << 30)
    with dial(server, "127.0.0.2") as slow:
        slow.sendall(b"GET /k/aa HTTP/1.1\r\n\r\n")
        time.sleep(0.5)
        got = 0
        with suppress(ConnectionError):
            while part := slow.recv(1 << 16):
                got += len(part)
        assert got < SIZE_BYTES


def test_one_address_does_not_take_all_loads(server: NeighbourServer) -> None:
    with ExitStack() as stack:
        heads = []
        for host in ["127.0.0.2"] * 4 + ["127.0.0.3"]:
            client = stack.enter_context(dial(server, host))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET /k/aa HTTP/1.1\r\n\r\n")
            heads.append(head_of(client).split()[1])
    assert heads == [b"200", b"200", b"503", b"503", b"200"]


def test_clients_that_reset_do_not_stop_it(server: NeighbourServer) -> None:
    for _ in range(100):
        client = dial(server, "127.0.0.2")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(ASKING)
        client.close()
    assert document(server) == DOCUMENT
