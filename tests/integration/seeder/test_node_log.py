"""What nodes say over UDP reaches a real seeder, is shown by `swarmboot logs`, and goes on to Loki's push API."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.loopback import Fleet, asking, booting, build_fleet, build_release, program, serving
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("node_log")
    return build_fleet(folder / "fleet", build_release(folder / "release", size_bytes=300_000))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def say(data: bytes, port: int, *, host: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
        node.bind((host, 0))
        node.sendto(data, ("127.0.0.1", port))


@contextmanager
def loki() -> Iterator[tuple[str, list[Any]]]:
    """Take pushes as Loki does (status 204), and keep them."""
    pushed: list[Any] = []

    class Push(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            pushed.append((self.path, self.headers["content-type"], json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Push)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", pushed
    finally:
        server.shutdown()
        server.server_close()


def streams(pushed: list[Any]) -> list[dict[str, str]]:
    return [stream["stream"] for _, _, body in list(pushed) for stream in body["streams"]]


def test_what_a_node_says_before_during_and_after_a_boot_is_shown_and_handed_on(fleet: Fleet, tmp_path: Path) -> None:
    syslog, netconsole, state = free_port(), free_port(), fleet.folder / "state"
    listening = ["--syslog", f"127.0.0.1:{syslog}", "--netconsole", f"127.0.0.1:{netconsole}"]

    def shown() -> str:
        return program("swarmboot", "logs", "127.0.0.2", "--state", state).stdout

    with loki() as (address, pushed), serving(fleet, *listening, "--loki", address) as seeder:
        say(b"<6>ipxe: net0 up", syslog, host="127.0.0.2")
        wait_until("iPXE's line", lambda: "syslog info ipxe: net0 up" in shown())
        (tmp_path / "kmsg").write_text("3,0,0,-;EXT4-fs error\n")
        with booting(tmp_path, 1, *asking(seeder, fleet), "--log", tmp_path / "kmsg") as node:
            node.end()
        say(b"2,99,1,-;Kernel panic - not syncing: \x1b[2J\n", netconsole, host="127.0.0.2")
        wait_until("the panic", lambda: r"netconsole critical Kernel panic - not syncing: \x1b[2J" in shown())
        assert shown().index("ipxe") < shown().index("panic")
        handed_in = {"job": "swarmboot", "source": "kernel", "level": "error"}
        wait_until("a push of what was handed in", lambda: any(handed_in == each for each in streams(pushed)))
        path, kind, body = pushed[0]
        assert (path, kind) == ("/loki/api/v1/push", "application/json")
        assert body["streams"][0]["stream"] == {"job": "swarmboot", "source": "syslog", "level": "info"}
    assert "Kernel panic" in shown()  # from the state folder, now that the seeder is down
    unknown = program("swarmboot", "logs", "10.99.99.99", "--state", state)
    assert unknown.returncode != 0
    assert unknown.stderr.startswith("swarmboot: nothing is known of '10.99.99.99'")


def test_a_port_in_use_is_named(fleet: Fleet) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        state = fleet.folder / "other"
        done = program(
            "swarmboot",
            "serve",
            fleet.site,
            "--listen",
            "127.0.0.1:0",
            "--state",
            state,
            "--syslog",
            f"127.0.0.1:{port}",
        )
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "--syslog" in done.stderr
