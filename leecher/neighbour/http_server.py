"""What a node serves its neighbours over plain HTTP: the signed documents it booted from, its metrics, stage 0.

Everything here is signed or harmless, so it needs no TLS. The standard library's server, one thread a request, few at a
time (`leecher.neighbour.room`); documents from memory, kernel and initramfs, once it has them, from the files that it
is told, at a pace. Header names are written as RFC 9110 does: GRUB 2.06 knows no other.

Anybody may dial it: a request's head has a bound and a deadline in all, and so has the taking of an answer.
"""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from leecher.neighbour.rate_limit import TokenBucket
from leecher.neighbour.room import LOADS_MAX, Doing, Room
from leecher.origin.deadlines import WATCH, Deadline
from swarmboot.release.stage0 import IMAGES_AT
from swarmboot.text.addresses import is_ipv6

_HEAD_S = 5.0
_HEAD_BYTES = 16 << 10
_SILENT_S = 5.0
_ANSWER_S = 15.0
_ANSWER_BYTES_PER_S = 16 << 10
_LOAD_BYTES_PER_S = 128 << 10
"""An answer may take `_ANSWER_S`, and what its bytes take at this rate, or at half of its share of the pace."""
_CHUNK_BYTES = 64 * 1024
_BREATHER_S = 0.05
AFTER_NODES_S = 1.0
"""So long in all a machine's file waits for what nodes fetch to serve it as well; iPXE is patient for 5 s."""


class NeighbourServer(ThreadingHTTPServer):
    """Serves `documents` by path, and `/metrics`, until closed.

    `files` are served to machines and nodes; `sent` counts which of them went whole to machines, who say which they
    are, and `at_sent` is called, in any thread, after each. `loads` is how many are being sent, `loads_bytes` what has
    been sent of all, and `at_begun` is called likewise when one begins.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, bind: str, *, metrics: Callable[[], str], port: int = 0, up_bytes_per_s: float = 0.0) -> None:
        if is_ipv6(bind):
            self.address_family = socket.AF_INET6
        super().__init__((bind, port), _Handler)
        self.documents: Mapping[str, bytes] = {}
        self.metrics = metrics
        self.files: Mapping[str, Path] = {}
        self.sent: Counter[str] = Counter()
        self.at_sent: Callable[[], None] = lambda: None
        self.at_begun: Callable[[], None] = lambda: None
        self.loads = 0
        self.loads_bytes = 0
        self._nodes_loads = 0
        self._counting = threading.Condition()
        self.token_bucket = TokenBucket(up_bytes_per_s)
        self.room = Room()

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Begin to serve."""
        threading.Thread(target=self.serve_forever, name="neighbour server", daemon=True).start()

    def close(self) -> None:
        """Serve no longer."""
        self.shutdown()
        self.server_close()

    @contextmanager
    def load(self, *, is_machine: bool) -> Iterator[None]:
        """Count a load while the context is open; any thread may."""
        with self._counting:
            self.loads += 1
            self._nodes_loads += not is_machine
        self.at_begun()
        try:
            yield
        finally:
            with self._counting:
                self.loads -= 1
                self._nodes_loads -= not is_machine
                self._counting.notify_all()

    def sent_of_load(self, size_bytes: int) -> None:
        """Count bytes of a load; any thread may."""
        with self._counting:
            self.loads_bytes += size_bytes

    def wait_for_nodes(self, most_s: float) -> float:
        """Wait, for so long at most, until no node fetches; return for how long."""
        began_s = time.monotonic()
        with self._counting:
            self._counting.wait_for(lambda: not self._nodes_loads, most_s)
        return time.monotonic() - began_s

    def get_request(self) -> tuple[socket.socket, Any]:
        """Return the next connection; without a descriptor for it, wait a little, for the kernel keeps it."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(_BREATHER_S)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether there is room for one more connection."""
        return self.room.enter(request, client_address[0], now_s=time.monotonic())

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, however it came to that, and make room for the next."""
        self.room.leave(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over a neighbour that hangs up."""


def open_server(
    bind: str, *, port: int, metrics: Callable[[], str], up_bytes_per_s: float, tell: Callable[[str], None]
) -> NeighbourServer:
    """Return a server on that port, or, where it cannot be had, which is told, on one that is free."""
    try:
        return NeighbourServer(bind, metrics=metrics, port=port, up_bytes_per_s=up_bytes_per_s)
    except OSError as error:
        if not port:
            raise
        server = NeighbourServer(bind, metrics=metrics, up_bytes_per_s=up_bytes_per_s)
        tell(f"swarmboot.metrics_port={port} cannot be had: {error.strerror}; taking port {server.port}")
        return server


class _Head:
    """A request's lines, not more than `_HEAD_BYTES` of them."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self.left_bytes = _HEAD_BYTES

    def readline(self, most_bytes: int) -> bytes:
        """Return the next line; raise HTTPException if the head is larger than it may be."""
        line = self._file.readline(min(most_bytes, self.left_bytes + 1))
        self.left_bytes -= len(line)
        if self.left_bytes < 0:
            raise http.client.HTTPException("the head is too large")
        return line

    def close(self) -> None:
        """Close the connection's reading end."""
        self._file.close()


class _Handler(BaseHTTPRequestHandler):
    server: NeighbourServer
    rfile: Any
    timeout = _SILENT_S
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "swarmboot", ""
    error_message_format, error_content_type = "%(code)d %(message)s\n", "text/plain"

    def setup(self) -> None:
        """Bound what is read of a head."""
        super().setup()
        self.rfile = _Head(self.rfile)

    def handle_one_request(self) -> None:
        """Read a head, within `_HEAD_S` in all, and answer it."""
        self.rfile.left_bytes = _HEAD_BYTES
        self._note(Doing.ASKING)
        self._deadline = self._within(_HEAD_S)
        try:
            super().handle_one_request()
        except http.client.HTTPException:
            self.close_connection = True
        finally:
            WATCH.finish(self._deadline)

    def _note(self, doing: Doing) -> None:
        self.server.room.note(self.connection, doing)

    def _within(self, seconds: float) -> Deadline:
        return WATCH.begin(seconds, self.server.room.caller(self.connection).end)

    def _allow(self, size_bytes: int, rate_bytes_per_s: float) -> None:
        """Let the answer take as long as so many bytes do at that rate, and a while besides."""
        WATCH.finish(self._deadline)
        if self.server.token_bucket.bytes_per_s:
            rate_bytes_per_s = min(rate_bytes_per_s, self.server.token_bucket.bytes_per_s / (2 * LOADS_MAX))
        self._deadline = self._within(_ANSWER_S + size_bytes / rate_bytes_per_s)

    def do_GET(self) -> None:
        """Answer with a document, the metrics or 404."""
        self._note(Doing.TAKING)
        if self.path == "/metrics":
            self._answer(200, self.server.metrics().encode(), "text/plain; version=0.0.4")
            return
        if self.path.startswith(IMAGES_AT):
            digest, _, query = self.path.removeprefix(IMAGES_AT).partition("?")
            self._stage0(digest, is_machine=query.startswith("mac="))
            return
        document = self.server.documents.get(self.path.lstrip("/"))
        if document is None:
            self._answer(404, b"no such file\n", "text/plain")
        else:
            self._answer(200, document, "application/octet-stream")

    def _stage0(self, digest: str, *, is_machine: bool) -> None:
        """Send kernel or initramfs; refuse at once if as many are being sent as allowed, so that others are asked."""
        path = self.server.files.get(digest)
        if path is None:
            self._answer(404, b"no such file\n", "text/plain")
        elif self.server.room.may_load(self.connection):
            with self.server.load(is_machine=is_machine):
                self._send_file(path, after_nodes_s=AFTER_NODES_S if is_machine else 0.0)
            if is_machine:
                self.server.sent[digest] += 1
                self.server.at_sent()
        else:
            self._answer(503, b"busy\n", "text/plain")

    def _send_file(self, path: Path, *, after_nodes_s: float) -> None:
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            self._allow(size_bytes, _LOAD_BYTES_PER_S)
            self._begin(200, size_bytes, "application/octet-stream")
            while chunk := file.read(_CHUNK_BYTES):
                if after_nodes_s > 0:
                    after_nodes_s -= self.server.wait_for_nodes(after_nodes_s)
                self.server.token_bucket.wait(len(chunk))
                self.wfile.write(chunk)
                self.server.sent_of_load(len(chunk))

    def _begin(self, status: int, size_bytes: int, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(size_bytes))
        self.end_headers()

    def _answer(self, status: int, body: bytes, media_type: str) -> None:
        self._allow(len(body), _ANSWER_BYTES_PER_S)
        self._begin(status, len(body), media_type)
        for start in range(0, len(body), _CHUNK_BYTES):
            self.wfile.write(body[start : start + _CHUNK_BYTES])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a console is no place for a request log."""
