"""Hosts that would bring the seeder down, against the real `swarmboot serve`: it goes on, within its bounds."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarmboot.report import FAILED, BootReport, encode_report
from tests.integration.world import (
    BOUND_S,
    Fleet,
    Seeder,
    asking,
    booting,
    build_fleet,
    build_release,
    serving,
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("hostile-clients")
    return build_fleet(folder, build_release(folder / "release", size_bytes=1_000_000))


def connect(seeder: Seeder, *, alpn: tuple[str, ...] = ()) -> ssl.SSLSocket:
    """Return a TLS connection to the seeder."""
    context = ssl.create_default_context(cafile=str(seeder.ca))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context.wrap_socket(dial(seeder), server_hostname="127.0.0.1")


def dial(seeder: Seeder) -> socket.socket:
    """Return a TCP connection to the seeder."""
    return socket.create_connection(("127.0.0.1", int(seeder.address.rpartition(":")[2])), timeout=BOUND_S)


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


@contextmanager
def unread(fleet: Fleet) -> Iterator[subprocess.Popen[str]]:
    """Serve a fleet's site, its log going to a pipe of which the test decides when to read."""
    state = str(fleet.folder / "state")
    command = ["serve", str(fleet.site), "--listen", "127.0.0.1:0", "--state", state, "--uplink", "1gbit"]
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

        def newest() -> bool | None:
            with connect(seeder) as stream:
                stream.sendall(request("GET", "/status"))
                return b'"newest_manifest":2' in read_answer(stream) or None

        end_s = time.monotonic() + 20
        while not newest():
            assert time.monotonic() < end_s
            time.sleep(0.05)
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
