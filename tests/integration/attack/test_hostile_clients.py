"""Hosts that would bring the seeder down, against the real `swarmboot serve`: it goes on, within its bounds."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from seeder.http.crowd import Crowd
from seeder.log import Log
from seeder.monitoring.status import parse_networks
from seeder.policy.facts.registry import Registry
from seeder.policy.limits import Limits
from seeder.policy.tracker import Tracker
from seeder.serve.app import SeederApp
from seeder.site.catalogue import Catalogue
from swarmboot.wire.report import FAILED, BootReport, encode_report
from tests.support.loopback import (
    Fleet,
    Seeder,
    asking,
    booting,
    build_fleet,
    build_release,
    serving,
    status,
)
from tests.support.waiting import BOUND_S, wait_until

IMAGE_BYTES = 16_000_000


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("hostile-clients")
    return build_fleet(folder, build_release(folder / "release", size_bytes=IMAGE_BYTES))


def connect(seeder: Seeder, *, alpn: tuple[str, ...] = (), receive_bytes: int = 0) -> ssl.SSLSocket:
    """Return a TLS connection to the seeder."""
    context = ssl.create_default_context(cafile=str(seeder.ca))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context.wrap_socket(dial(seeder, receive_bytes), server_hostname="127.0.0.1")


def dial(seeder: Seeder, receive_bytes: int = 0) -> socket.socket:
    """Return a TCP connection to the seeder, its receive buffer small if asked for."""
    dialled = socket.socket()
    if receive_bytes:
        dialled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    dialled.settimeout(BOUND_S)
    dialled.connect(("127.0.0.1", int(seeder.address.rpartition(":")[2])))
    dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return dialled


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Return an HTTP/1.1 request."""
    return f"{method} {path} HTTP/1.1\r\nHost: seeder\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def read_answer(stream: socket.socket) -> bytes:
    """Return what comes until an answer's head and the body it speaks of are in, or the other end closes."""
    read = b""
    while chunk := stream.recv(1 << 16):
        read += chunk
        head, end, body = read.partition(b"\r\n\r\n")
        lengths = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if end and len(body) >= sum(lengths):
            break
    return read


def resident_bytes(process: int) -> int:
    """Return how much of a process is in memory (proc(5))."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096


def check_boots(folder: Path, seeder: Seeder, fleet: Fleet) -> None:
    """Boot one node."""
    with booting(folder, 1, *asking(seeder, fleet)) as node:
        status, said = node.end()
        assert status == 0, said


def stage0_port(seeder: Seeder) -> int:
    """Return the port of the seeder's plain-HTTP app."""
    return int(seeder.stage0_url().rpartition(":")[2])


def descriptors(process: int) -> int:
    """Return how many descriptors a process has open."""
    return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())


@contextmanager
def unread(fleet: Fleet) -> Iterator[subprocess.Popen[str]]:
    """Serve a fleet's site, its log going to a pipe of which the test decides when to read."""
    state = str(fleet.folder / "state")
    command = [
        "serve",
        str(fleet.site),
        "--listen",
        "127.0.0.1:0",
        "--state",
        state,
        "--uplink",
        "1gbit",
        "--log-format=bare",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "swarmboot", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_a_log_whose_reader_has_gone_ends_nothing(tmp_path: Path) -> None:
    release = build_release(tmp_path / "release", size_bytes=100_000)
    fleet = build_fleet(tmp_path, release)
    with unread(fleet) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("listening on "))
        process.stdout.close()
        (release / "rootfs.squashfs").write_bytes(b"hsqs" + bytes(100_000))
        fleet.publish(release)
        seeder = Seeder(process, line.split()[2].rstrip(","), fleet.folder / "state" / "ca.pem", [])

        def has_newest() -> bool:
            with connect(seeder) as stream:
                stream.sendall(request("GET", "/status"))
                return b'"newest_manifest":2' in read_answer(stream)

        wait_until("the new manifest in the status", has_newest, process=process)
        check_boots(tmp_path, seeder, fleet)
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_forged_reports_leave_memory_and_log_bounded(fleet: Fleet) -> None:
    report = BootReport(node="\x1b[31mnode", outcome=FAILED, error="\n" + "forged\x1b]0;title\x07\u202e" * 40)
    with serving(fleet) as seeder, connect(seeder) as stream:
        body = request("POST", "/report", encode_report(report))
        stream.sendall(body)
        assert b" 204 " in read_answer(stream)
        before_bytes = resident_bytes(seeder.process.pid)
        for _ in range(60):
            stream.sendall(body * 50)
            received = b""
            while received.count(b"HTTP/1.1 204") + received.count(b"HTTP/1.1 403") < 50:
                received += stream.recv(1 << 16)
        assert resident_bytes(seeder.process.pid) - before_bytes < 4 << 20
        forged = [line for line in seeder.lines if "forged" in line]
        assert 1 <= len(forged) <= 1100
        assert all(line.isprintable() and len(line) <= 480 for line in seeder.lines)


def test_own_files_of_a_machine_that_hundreds_ask_for_and_nobody_reads_are_in_memory_once(
    tmp_path: Path, fleet: Fleet
) -> None:
    (tmp_path / "files/default/etc").mkdir(parents=True)
    (tmp_path / "files/default/etc/large").write_bytes(bytes(4_000_000))
    pxe = ["--pxe-listen", "127.0.0.1:0", "--node-files", str(tmp_path / "files")]
    with serving(fleet, *pxe) as seeder, ExitStack() as held:
        port = stage0_port(seeder)
        before_bytes = resident_bytes(seeder.process.pid)
        for number in range(100):
            stream = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=BOUND_S))
            stream.sendall(request("GET", f"/node.img?mac=52:54:00:00:00:{number:02x}"))
            assert stream.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
        assert resident_bytes(seeder.process.pid) - before_bytes < 100 << 20
        check_boots(tmp_path, seeder, fleet)


@pytest.mark.parametrize("kind", ["silent", "handshaken", "asked once"])
def test_idle_connections_at_a_low_limit_of_descriptors_keep_nobody_out(
    tmp_path: Path, fleet: Fleet, kind: str
) -> None:
    with serving(fleet, launcher=("prlimit", "--nofile=256:256")) as seeder, ExitStack() as held:
        for _ in range(400):
            stream = held.enter_context(dial(seeder) if kind == "silent" else connect(seeder))
            if kind == "asked once":
                stream.sendall(request("GET", "/channels/stable.swarm"))
                assert b" 200 " in read_answer(stream)
        with booting(tmp_path, 1, *asking(seeder, fleet)) as node:
            ended, said = node.end()
            assert ended == 0, said
        assert status(seeder)["cut_off"] > 0
        assert descriptors(seeder.process.pid) < 256


async def test_a_stranger_learns_from_the_status_that_a_seeder_is_here_and_no_more(fleet: Fleet) -> None:
    registry = Registry()
    tracker = Tracker(registry, Limits(uplink_bytes_per_s=1e6), random=Random(16))
    app = SeederApp(
        tracker, Catalogue(fleet.site, registry), Log(), crowd=Crowd(), status_from=parse_networks(["10.9.0.0/16"])
    )

    async def ask(host: str) -> dict[str, Any]:
        said: list[Any] = []
        scope = {"type": "http", "method": "GET", "path": "/status", "query_string": b"", "headers": []}

        async def send(message: Any) -> None:
            said.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        await app.application()({**scope, "client": (host, 5), "server": ("10.0.0.1", 8470)}, receive, send)
        found: dict[str, Any] = json.loads(said[-1]["body"])
        return found

    assert await ask("10.0.0.66") == {"swarmboot": "ok"}
    assert await ask("fe80::66") == {"swarmboot": "ok"}
    assert "nodes" in await ask("10.0.0.1")
    assert "nodes" in await ask("10.9.3.4")


def test_the_limit_of_descriptors_is_raised(fleet: Fleet) -> None:
    with serving(fleet, launcher=("prlimit", "--nofile=256:2048")) as seeder:
        limits = Path(f"/proc/{seeder.process.pid}/limits").read_text()
        assert next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3] == "2048"


def test_answers_that_nobody_reads_cost_little_and_keep_nobody_out(tmp_path: Path, fleet: Fleet) -> None:
    blob = max((fleet.site / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    with serving(fleet, launcher=("prlimit", "--nofile=512:512")) as seeder, ExitStack() as held:
        check_boots(tmp_path, seeder, fleet)
        before_bytes = resident_bytes(seeder.process.pid)
        for _ in range(100):
            stream = held.enter_context(connect(seeder, receive_bytes=4096))
            stream.sendall(request("GET", f"/blobs/{blob.name}"))
        wait_until("100 connections", lambda: status(seeder)["connections"] >= 100, process=seeder.process)
        with booting(tmp_path, 2, *asking(seeder, fleet)) as node:
            ended, said = node.end()
            assert ended == 0, said
        files = [each.readlink().parent.name for each in Path(f"/proc/{seeder.process.pid}/fd").iterdir()]
        assert files.count("blobs") == 1
        assert resident_bytes(seeder.process.pid) - before_bytes < 120_000_000


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def test_http_2_is_spoken_on_neither_listener(fleet: Fleet) -> None:
    with serving(fleet, "--pxe-listen", "127.0.0.1:0") as seeder:
        with connect(seeder, alpn=("h2",)) as stream:
            assert stream.selected_alpn_protocol() is None
            stream.sendall(PREFACE)
            assert read_answer(stream).startswith(b"HTTP/1.1 505")
        with connect(seeder, alpn=("h2", "http/1.1")) as stream:
            assert stream.selected_alpn_protocol() == "http/1.1"
        with socket.create_connection(("127.0.0.1", stage0_port(seeder)), timeout=BOUND_S) as plain:
            plain.sendall(PREFACE)
            assert read_answer(plain).startswith(b"HTTP/1.1 505")


def test_a_client_that_drips_is_cut_off(fleet: Fleet) -> None:
    body = "HTTP/1.1\r\nHost: seeder\r\nContent-Length: 9000\r\n\r\n"
    said = ["GET /status HTTP/1.1\r\nX: ", f"POST /announce {body}", f"POST /report {body}", ""]
    with serving(fleet) as seeder, ExitStack() as held:
        dripping = [held.enter_context(connect(seeder)) for _ in said]
        for stream, start in zip(dripping, said, strict=True):
            stream.sendall(start.encode())
            stream.setblocking(False)

        def are_cut_off() -> bool:
            dripping[:] = [stream for stream in dripping if is_open_after(stream, b"x")]
            return not dripping

        wait_until("an end of all that drip", are_cut_off, within_s=30, every_s=0.5, seen=lambda: dripping)


def is_open_after(stream: ssl.SSLSocket, data: bytes) -> bool:
    """Return whether a connection is still open after sending a little more on it."""
    try:
        stream.sendall(data)
        return stream.recv(1 << 16) != b""
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False
