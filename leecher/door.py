"""What a node serves its neighbours over plain HTTP: the signed documents it booted from, and its metrics.

Everything here is signed or harmless, so it needs no TLS. The standard library's server, one thread a request, few at a
time; it serves from memory and knows no file system.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6

_MOST_AT_ONCE = 32
_SILENT_S = 5.0


class Door(ThreadingHTTPServer):
    """Serves `documents` by path, and `/metrics`, until closed."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, bind: str, *, metrics: Callable[[], str]) -> None:
        if ":" in bind:
            self.address_family = AF_INET6
        super().__init__((bind, 0), _Handler)
        self.documents: Mapping[str, bytes] = {}
        self.metrics = metrics
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
        document = self.server.documents.get(self.path.lstrip("/"))
        if document is None:
            self._answer(404, b"no such file\n", "text/plain")
        else:
            self._answer(200, document, "application/octet-stream")

    def _answer(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a console is no place for a request log."""
