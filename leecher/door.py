"""What a node serves its neighbours over plain HTTP: the signed documents it booted from, its metrics, stage 0.

Everything here is signed or harmless, so it needs no TLS. The standard library's server, one thread a request, few at a
time; documents from memory, kernel and initramfs, once it has them, from the files that it is told, at a pace. Header
names are written as RFC 9110 does: GRUB 2.06 knows no other.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET6

from leecher.pace import Pace
from swarmboot.addresses import is_ipv6

_MOST_AT_ONCE = 32
_SILENT_S = 5.0
_LOADS_MOST = 4
_CHUNK_BYTES = 64 * 1024


class Door(ThreadingHTTPServer):
    """Serves `documents` by path, and `/metrics`, until closed."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, bind: str, *, metrics: Callable[[], str], up_bytes_per_s: float = 0.0) -> None:
        if is_ipv6(bind):
            self.address_family = AF_INET6
        super().__init__((bind, 0), _Handler)
        self.documents: Mapping[str, bytes] = {}
        self.metrics = metrics
        self.files: Mapping[str, Path] = {}
        self.pace = Pace(up_bytes_per_s)
        self.loads = threading.BoundedSemaphore(_LOADS_MOST)
        self._room = threading.BoundedSemaphore(_MOST_AT_ONCE)

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Begin to serve."""
        threading.Thread(target=self.serve_forever, name="door", daemon=True).start()

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002 - the base class's
        """Return whether there is room for one more request."""
        return self._room.acquire(blocking=False)

    def process_request_thread(self, request: object, client_address: object) -> None:
        """Serve one request and make room for the next."""
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._room.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over a neighbour that hangs up."""


class _Handler(BaseHTTPRequestHandler):
    server: Door
    timeout = _SILENT_S
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a document, the metrics or 404."""
        if self.path == "/metrics":
            self._answer(200, self.server.metrics().encode(), "text/plain; version=0.0.4")
            return
        if self.path.startswith("/k/"):
            self._stage0(self.path.removeprefix("/k/").partition("?")[0])
            return
        document = self.server.documents.get(self.path.lstrip("/"))
        if document is None:
            self._answer(404, b"no such file\n", "text/plain")
        else:
            self._answer(200, document, "application/octet-stream")

    def _stage0(self, digest: str) -> None:
        """Send kernel or initramfs; refuse at once if as many are being sent as allowed, so that others are asked."""
        path = self.server.files.get(digest)
        if path is None:
            self._answer(404, b"no such file\n", "text/plain")
        elif not self.server.loads.acquire(blocking=False):
            self._answer(503, b"busy\n", "text/plain")
        else:
            try:
                self._send_file(path)
            finally:
                self.server.loads.release()

    def _send_file(self, path: Path) -> None:
        with path.open("rb") as file:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            self.end_headers()
            while chunk := file.read(_CHUNK_BYTES):
                self.server.pace.wait(len(chunk))
                self.wfile.write(chunk)

    def _answer(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a console is no place for a request log."""
