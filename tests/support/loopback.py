"""A real seeder, real leechers and hostile origins on loopback addresses, each a program of its own or a real server.

Everything started here is stopped here. No root, no namespaces; traffic stays in 127.0.0.0/8.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

from tests.support.commands import run
from tests.support.waiting import BOUND_S, wait_until


def program(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a part of swarmboot to its end and return what it said.

    What makes keys and sites runs in this process unless the environment is to be another: Python starts once for all.
    """
    words = [sys.executable, "-m", *map(str, arguments)]
    if arguments[:2] in (("swarmboot", "keygen"), ("swarmboot", "publish")) and not environment:
        done = run(*arguments[1:])
        return subprocess.CompletedProcess(words, done.status, done.out, done.err)
    return subprocess.run(
        words, capture_output=True, text=True, timeout=BOUND_S, env={**os.environ, **environment}, check=False
    )


def build_release(
    folder: Path, *, size_bytes: int = 3_000_000, seed: int = 1, plugins: int = 1, stage0_bytes: int = 0
) -> Path:
    """Return a release directory with a root image of random bytes and some plugins; kernel and initramfs if asked."""
    random = Random(seed)
    (folder / "plugins").mkdir(parents=True)
    (folder / "rootfs.squashfs").write_bytes(b"hsqs" + random.randbytes(size_bytes - 4))
    for number in range(plugins):
        (folder / "plugins" / f"{number}0-plugin.squashfs").write_bytes(b"hsqs" + random.randbytes(50_000 + number))
    for name in ("vmlinuz", "initramfs.img") if stage0_bytes else ():
        (folder / name).write_bytes(random.randbytes(stage0_bytes))
    return folder


@dataclass(frozen=True, slots=True)
class Fleet:
    """Keys and a published site."""

    folder: Path

    @property
    def key(self) -> Path:
        return self.folder / "keys" / "swarmboot.key"

    @property
    def pub(self) -> Path:
        return self.folder / "keys" / "swarmboot.pub"

    @property
    def site(self) -> Path:
        return self.folder / "site"

    def publish(self, release: Path, *arguments: str) -> None:
        done = program("swarmboot", "publish", "--force", release, "--site", self.site, "--key", self.key, *arguments)
        assert done.returncode == 0, done.stderr

    def digests(self, release: Path) -> dict[str, str]:
        files = [release / "rootfs.squashfs", *sorted((release / "plugins").iterdir())]
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def build_fleet(folder: Path, release: Path) -> Fleet:
    """Return a fleet that has published one release."""
    fleet = Fleet(folder)
    done = program("swarmboot", "keygen", "--out", folder / "keys")
    assert done.returncode == 0, done.stderr
    fleet.publish(release)
    return fleet


@dataclass(slots=True)
class Seeder:
    """A running `swarmboot serve`."""

    process: subprocess.Popen[str]
    address: str
    ca: Path
    lines: list[str]

    def wait_for_line(self, words: str) -> str:
        """Return the first line of the log with these words in it, once it is there."""

        def look() -> str | None:
            return next((line for line in self.lines if words in line), None)

        return wait_until(f"{words!r} in the seeder's log", look, process=self.process, seen=lambda: self.lines)

    def stage0_url(self) -> str:
        """Return where the seeder serves stage 0 over plain HTTP, once it does."""
        return self.wait_for_line("stage 0 on ").split()[3]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@contextmanager
def serving(fleet: Fleet, *arguments: str, launcher: Sequence[str] = ()) -> Iterator[Seeder]:
    """Serve a fleet's site on a free port."""
    state = fleet.folder / "state"
    fixed = ["--listen", "127.0.0.1:0", "--state", str(state), "--uplink", "1gbit", "--log-format", "bare"]
    process = subprocess.Popen(
        [*launcher, sys.executable, "-m", "swarmboot", "serve", str(fleet.site), *fixed, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    collector = threading.Thread(target=_collect, args=(process, lines))
    collector.start()
    try:
        seeder = Seeder(process, "", state / "ca.pem", lines)
        seeder.address = seeder.wait_for_line("listening on ").partition("listening on ")[2].split()[0].rstrip(",")
        yield seeder
    finally:
        process.terminate()
        process.wait(timeout=20)
        collector.join(timeout=20)
        assert process.stdout is not None
        process.stdout.close()


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip("\n"))


@dataclass(slots=True)
class Leecher:
    """A running leecher."""

    process: subprocess.Popen[str]
    into: Path
    report_path: Path

    def report(self) -> dict[str, Any]:
        """Wait until the node reports; return its boot report."""
        wait_until("a report of the node", self.report_path.exists, process=self.process, seen=self._last_words)
        report: dict[str, Any] = json.loads(self.report_path.read_text())
        return report

    def _last_words(self) -> str:
        return "nothing" if self.process.poll() is None else self.process.communicate()[1]

    def wait_until_arriving(self) -> None:
        """Return once the first bytes of an image are there."""
        wait_until_arriving(self.into, self.process)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit status and what was said on standard error."""
        _, said = self.process.communicate(timeout=BOUND_S)
        return self.process.returncode, said

    def digests(self) -> dict[str, str]:
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in self.into.iterdir()}


def wait_until_arriving(into: Path, process: subprocess.Popen[str]) -> None:
    """Return once a leecher has written the first bytes of an image below `into`."""
    partial = into / ".partial"
    wait_until("the first bytes of an image", lambda: any(partial.glob("*")), process=process)


@contextmanager
def booting(
    folder: Path, number: int, *arguments: str | Path, python: Sequence[str] = (sys.executable,)
) -> Iterator[Leecher]:
    """Start leecher `number` at 127.0.0.`number` + 1 and end it at the end."""
    into, report = folder / f"node{number}", folder / f"node{number}.json"
    fixed = ["--into", str(into), "--report", str(report), "--bind", f"127.0.0.{number + 1}"]
    process = subprocess.Popen(
        [*python, "-m", "leecher", *fixed, "--reserve", "0", "--progress", "none", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Leecher(process, into, report)
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


def asking(server: Seeder | HostileOrigin, fleet: Fleet) -> list[str | Path]:
    """Return the arguments of a leecher that boots from this server."""
    return ["--server", server.address, "--trust", fleet.pub, "--ca", server.ca, "--timeout", "60s"]


def status(seeder: Seeder) -> dict[str, Any]:
    """Return what the seeder says of itself."""
    context = ssl.create_default_context(cafile=str(seeder.ca))
    with urllib.request.urlopen(f"{seeder.address}/status", context=context, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def wait_for_stage0_neighbour(seeder: Seeder) -> None:
    """Return once the seeder knows of a node that serves stage 0."""
    wait_until("a node that serves stage 0", lambda: status(seeder)["stage0"]["neighbours"] > 0, process=seeder.process)


class HostileOrigin(ThreadingHTTPServer):
    """Serves a site over TLS as `fault` says; announces are refused, so a node goes to the blobs by itself."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, site: Path, certificate: Path, key: Path, fault: str, *, times: int = 10**9) -> None:
        super().__init__(("127.0.0.1", 0), _HostileHandler)
        self.site, self.fault, self.left = site, fault, times
        self.ca = certificate.with_name("ca.pem")
        self.asked: list[dict[str, str]] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what these tests are about."""

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"


class _HostileHandler(BaseHTTPRequestHandler):
    server: HostileOrigin
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        self.server.asked.append({name.lower(): value for name, value in self.headers.items()})
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_error(503)

    def do_GET(self) -> None:
        self.server.asked.append({name.lower(): value for name, value in self.headers.items()})
        path = self.server.site / self.path.lstrip("/")
        if self.server.fault == "late channel" and self.path.startswith("/channels/"):
            time.sleep(8.5)  # later than a start where all processors are busy
        if self.server.fault == "drips headers":
            self._drip_header()
            return
        is_blob = self.path.startswith("/blobs/")
        if is_blob and self.server.left > 0:
            self.server.left -= 1
            self._misbehave(path)
        elif path.is_file():
            self._send(path.read_bytes())
        else:
            self.send_error(404)

    def _send(self, data: bytes, *, extra: int = 0) -> None:
        first, last, status = 0, len(data) - 1, 200
        if wanted := self.headers.get("range"):
            first, last = map(int, wanted.removeprefix("bytes=").split("-"))
            status = 206
        body = data[first : last + 1]
        self.send_response(status)
        if status == 206:
            self.send_header("content-range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("content-length", str(len(body) + extra))
        self.end_headers()
        self.wfile.write(body)

    def _drip_header(self) -> None:
        """Never come to an end of the answer's head, until the client has enough of it."""
        self.send_response(200)
        self.flush_headers()
        while True:
            self.wfile.write(b"x")
            time.sleep(0.5)

    def _drip(self, data: bytes) -> None:
        """Send the range that was asked for at 4 kB/s, until the client has enough of it."""
        first, last = map(int, self.headers["range"].removeprefix("bytes=").split("-"))
        self.send_response(206)
        self.send_header("content-range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("content-length", str(last - first + 1))
        self.end_headers()
        for start in range(first, last + 1, 400):
            self.wfile.write(data[start : min(last + 1, start + 400)])
            time.sleep(0.1)

    def _misbehave(self, path: Path) -> None:
        match self.server.fault:
            case "404" | "416" | "500":
                self.send_error(int(self.server.fault))
            case "impossible range":
                self.send_response(206)
                self.send_header("content-range", f"bytes {'9' * 5000}-1/2")
                self.send_header("content-length", "3")
                self.end_headers()
                self.wfile.write(b"abc")
            case "resets":
                self.close_connection = True
                self.send_response(206)
                self.send_header("content-length", "100000")
                self.end_headers()
                self.wfile.write(b"x" * 1000)
            case "too short":
                self._send(path.read_bytes(), extra=1000)
                self.close_connection = True
            case "another range":
                del self.headers["range"]
                self.headers["range"] = "bytes=0-99"
                self._send(path.read_bytes())
            case "ignores range":
                del self.headers["range"]
                self._send(path.read_bytes())
            case "altered":
                self._send(bytes(len(path.read_bytes())))
            case "drips":
                self._drip(path.read_bytes())
            case "late channel":
                self._send(path.read_bytes())
            case "silent":
                threading.Event().wait(25)


@contextmanager
def hostile(fleet: Fleet, fault: str, *, times: int = 10**9) -> Iterator[HostileOrigin]:
    """Run a hostile origin with a certificate of the fleet's authority."""
    from seeder.http.authority import issue_certificate

    certificate = issue_certificate(fleet.folder / "state", ["127.0.0.1"])
    origin = HostileOrigin(fleet.site, certificate.certificate, certificate.key, fault, times=times)
    thread = threading.Thread(target=origin.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield origin
    finally:
        origin.shutdown()
        thread.join()
        origin.server_close()
