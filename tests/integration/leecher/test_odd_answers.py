"""Origins and neighbours whose answers no program would write: each costs its origin, and no boot."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trio

from leecher.origin.connection_pool import Connections
from leecher.origin.range_request import ByteRange, RangeRequest
from leecher.origin.small_request import SmallRequest
from leecher.release.neighbour_client import neighbour_reader
from swarmboot.errors import TransferError
from tests.support.commands import run_program
from tests.support.loopback import asking, booting, build_fleet, build_release, hostile, serving
from tests.support.sockets import answering

MANY = b"9" * 5000
"""More digits than Python takes for a number."""
OK = b"HTTP/1.1 200 OK\r\n"
ODD = {
    "a boundary's number": OK + b"content-type: multipart/x; boundary*" + MANY + b"=x\r\ncontent-length: 3\r\n\r\nabc",
    "a length": OK + b"content-length: " + MANY + b"\r\n\r\nabc",
    "a negative chunk": OK + b"transfer-encoding: chunked\r\n\r\n-5\r\nabc\r\n0\r\n\r\n",
    "a chunk's length": OK + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\nabc\r\n",
    "a cookie's year": OK + b"set-cookie: a=b; expires=Wed, 09 Jun " + MANY + b" 10:18:14 GMT\r\n\r\n",
    "a place to go": b"HTTP/1.1 302 Found\r\nlocation: http://[::1\r\ncontent-length: 0\r\n\r\n",
    "a status": b"HTTP/1.1 " + MANY + b" OK\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\n\r\nabc",
}
RANGES = {
    "a range": b"HTTP/1.1 206 Partial\r\ncontent-range: bytes " + MANY + b"-1/2\r\ncontent-length: 3\r\n\r\nabc",
    "a range's whole": b"HTTP/1.1 206 Partial\r\ncontent-range: bytes 0-2/"
    + MANY
    + b"\r\ncontent-length: 3\r\n\r\nabc",
}


def asking_with() -> closing[Connections]:
    """Return what connections are made with, closed with the context."""
    return closing(Connections(ssl.create_default_context()))


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_answer_to_a_question_is_a_failed_transfer(odd: str) -> None:
    with answering(ODD[odd]) as url, asking_with() as connections, pytest.raises(TransferError):
        SmallRequest(connections, f"{url}/x", max_bytes=1000).run()


@pytest.mark.parametrize("odd", ODD | RANGES)
def test_an_odd_answer_to_a_run_is_a_failed_transfer(odd: str) -> None:
    with answering((ODD | RANGES)[odd]) as url, asking_with() as connections, pytest.raises(TransferError):
        RangeRequest(connections, ByteRange(f"{url}/x", 0, 3, 3), print).run()


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_answer_of_a_neighbour_is_at_most_a_failed_transfer(odd: str) -> None:
    with answering(ODD[odd]) as url, suppress(TransferError):  # what is not read is no fault
        trio.run(neighbour_reader(url), "x", 1000)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/y\r\ncontent-length: 0\r\n\r\n", "was refused"),
        (b"HTTP/1.1 404 Gone\r\ncontent-length: 0\r\n\r\n", "was refused"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length: 3\r\n\r\nabc", "sends no answer"),
        (b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\n\r\nabc", "cannot be read|sends no answer"),
        (OK + b"content-length: 1001\r\n\r\n" + bytes(1001), "sends too much"),
        (OK + b"transfer-encoding: chunked\r\n\r\n" + b"ff\r\n" + bytes(255) + b"\r\n", "cannot be read"),
        (OK + b"content-length: 30\r\n\r\nabc", "cannot be read"),
        (OK + b"x: " + b"y" * 200_000 + b"\r\n\r\n", "cannot be read"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_an_answer_of_a_neighbour_that_is_no_document_is_refused(answer: bytes, why: str) -> None:
    with answering(answer) as url, pytest.raises(TransferError, match=why):
        trio.run(neighbour_reader(url), "x", 1000)


def test_a_neighbour_that_is_not_there_is_said_to_be_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(TransferError, match=r"cannot be reached: .*refused"):
        trio.run(neighbour_reader(f"http://127.0.0.1:{port}"), "x", 1000)


def test_words_of_an_origin_reach_the_console_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    fleet = build_fleet(tmp_path / "fleet", build_release(tmp_path / "release"))
    with answering(b"HTTP/1.1 404 \x1b[2J\x9b31m gone\r\ncontent-length: 0\r\n\r\n") as url:
        done = run_program(
            "fetch", "--server", url, "--trust", fleet.pub, "--into", tmp_path / "node", "--timeout", "4s"
        )
    assert r"404 \x1b[2J\x9b31m gone" in done.err
    assert all(line.isprintable() for line in done.err.splitlines())


def test_a_mirror_with_an_impossible_range_costs_no_boot(tmp_path: Path) -> None:
    fleet = build_fleet(tmp_path / "fleet", build_release(tmp_path / "release"))
    with hostile(fleet, "impossible range") as mirror, serving(fleet, "--origin", mirror.address) as seeder:
        with booting(tmp_path, 1, *asking(seeder, fleet)) as node:
            status, said = node.end()
        assert status == 0, said
        assert mirror.asked
        assert "Traceback" not in said
        assert node.digests() == fleet.digests(tmp_path / "release")
