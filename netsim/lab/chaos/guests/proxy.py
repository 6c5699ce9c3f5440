"""A bad origin: stands before the real seeder at its address, and spoils some of its answers.

    python -m netsim.lab.chaos.guests.proxy ADDRESS PORT SEEDER_PORT CERTIFICATE KEY CA FAULT FRACTION SEED

Every request goes on to the seeder at SEEDER_PORT from the node's own address (IP_TRANSPARENT, ip(7)), so the seeder
sees the rack as it is; rows route its answers back (`rows_hostile`). What FAULT may be is in FAULTS.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

FAULTS = {
    "500s": "answers 500",
    "truncates": "hangs up in the middle of a body",
    "resets": "resets the connection in the middle of a body",
    "drips": "sends a body at 1 kB/s",
}
_IP_TRANSPARENT = 19
_CHUNK_BYTES = 1 << 16
_DRIP_BYTES = 100
_DRIP_S = 0.1
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class _Upstream(http.client.HTTPSConnection):
    """A connection to the seeder that comes from a node's address."""

    def __init__(self, address: str, port: int, node: str, context: ssl.SSLContext) -> None:
        super().__init__(address, port, context=context, timeout=120)
        self._node, self._tls = node, context

    def connect(self) -> None:
        """Dial from the node's address, which is not one of this machine's."""
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        raw.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
        raw.settimeout(self.timeout)
        raw.bind((self._node, 0))
        raw.connect((self.host, self.port))
        self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)


class Proxy(ThreadingHTTPServer):
    """Spoils `fraction` of the answers by `fault`; the same `seed` spoils the same ones of each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, argv: list[str]) -> None:
        address, port, seeder_port, certificate, key, ca, fault, fraction, seed = argv
        self.upstream_at, self.context = (address, int(seeder_port)), ssl.create_default_context(cafile=ca)
        self.fault, self.fraction, self._seed, self._connections = fault, float(fraction), seed, 0
        self._lock = threading.Lock()
        super().__init__((address, int(port)), _Handler)
        server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_side.load_cert_chain(certificate, key)
        self.socket = server_side.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def next_random(self) -> Random:
        """Return the source of one connection's faults."""
        with self._lock:
            self._connections += 1
            return Random(f"{self._seed} {self._connections}")

    def handle_error(self, request: object, client_address: object) -> None:
        """Do nothing: nodes hang up on such a server, as they should."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    timeout = 120
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._random = self.server.next_random()
        self._upstream = _Upstream(*self.server.upstream_at, self.client_address[0], self.server.context)

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("content-length", "0"))))

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print one line a request."""
        print(f"{self.client_address[0]} {self.requestline} {code} {size}", flush=True)

    def _serve(self, body: bytes | None) -> None:
        is_spoiled = self._random.random() < self.server.fraction
        if is_spoiled:
            print(f"{self.client_address[0]} {self.requestline} is spoiled", flush=True)
        if is_spoiled and self.server.fault == "500s":
            self.send_response(500)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        self._upstream.request(self.command, self.path, body=body, headers=headers)
        answer = self._upstream.getresponse()
        whole = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(whole)))
        self.end_headers()
        if is_spoiled:
            self._spoil(whole)
        else:
            self.wfile.write(whole)

    def _spoil(self, body: bytes) -> None:
        if self.server.fault == "drips":
            for start in range(0, len(body), _DRIP_BYTES):
                self.wfile.write(body[start : start + _DRIP_BYTES])
                time.sleep(_DRIP_S)
            return
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True
        if self.server.fault == "resets":
            linger = struct.pack("ii", 1, 0)  # with no time to linger, closing resets (socket(7), SO_LINGER)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def main() -> None:
    """Read the command line and serve until killed."""
    with Proxy(sys.argv[1:]) as proxy:
        proxy.serve_forever()


if __name__ == "__main__":
    main()
