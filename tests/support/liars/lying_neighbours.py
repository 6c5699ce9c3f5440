"""Hostile neighbours on loopback addresses: each answers probes over UDP and serves documents over HTTP as it likes."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from swarmboot.codec import DecodeError
from swarmboot.ids import Sequence, new_node_id
from swarmboot.wire.discovery import Presence, Probe, decode_datagram, encode_presence

PROBES_AT = 8471
_ODD_TORRENTS = (b"", b"le", b"d4:infoi1e12:piece layersi1ee", b"d4:infod9:file treei1eee", b"i1e", b"\xff" * 100)


def documents_of(site: Path) -> dict[str, bytes]:
    """Return a site's small documents as they are now, by their paths."""
    folders = ("channels", "manifests", "torrents")
    files = [file for folder in folders for file in (site / folder).iterdir() if file.is_file()]
    return {str(file.relative_to(site)): file.read_bytes() for file in files}


@dataclass(slots=True)
class Liar:
    """One hostile neighbour; `asked` are the paths it was asked for."""

    host: str
    asked: list[str] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, liar: Liar, documents: Mapping[str, bytes], fault: str, about: str) -> None:
        super().__init__((liar.host, 0), _Handler)
        self.liar, self.documents, self.fault, self.about = liar, documents, fault, about
        self.over = threading.Event()
        self.odd = itertools.cycle(_ODD_TORRENTS)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = self.path.lstrip("/")
        self.server.liar.asked.append(path)
        data = self.server.documents.get(path)
        if path.startswith(self.server.about) and self.server.fault:
            self._misbehave(data or b"")
        elif data is None:
            self.send_error(404)
        else:
            self._send(data)

    def _send(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _misbehave(self, data: bytes) -> None:
        match self.server.fault:
            case "404":
                self.send_error(404)
            case "stalls":
                self.server.over.wait()
            case "endless":
                self.send_response(200)
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                while not self.server.over.is_set():
                    self.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
            case "drips":
                self.send_response(200)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                for start in range(len(data)):
                    self.wfile.write(data[start : start + 1])
                    if self.server.over.wait(0.5):
                        return
            case "wrong":
                others = [each for name, each in self.server.documents.items() if each != data and "torrents" in name]
                self._send(others[0])
            case "odd":
                self._send(next(self.server.odd))


@contextmanager
def lying(
    host: str, documents: Mapping[str, bytes], *, claim: int, fault: str = "", about: str = "torrents/", ports: int = 1
) -> Iterator[Liar]:
    """Answer probes at `host` with a claim, from some ports; serve `documents`, those under `about` with a fault."""
    liar = Liar(host)
    with ExitStack() as stack:
        server = _Server(liar, documents, fault, about)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        serving.start()
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind((host, PROBES_AT))
        udp.settimeout(0.2)

        def answer() -> None:
            while not server.over.is_set():
                with suppress(DecodeError, OSError):
                    _answer(udp, *udp.recvfrom(2048), ports, claim, server.server_address[1])

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        try:
            yield liar
        finally:
            server.over.set()
            server.shutdown()
            server.server_close()
            answering.join()


def _answer(udp: socket.socket, data: bytes, asker: tuple[str, int], ports: int, claim: int, http_port: int) -> None:
    probe = decode_datagram(data)
    assert isinstance(probe, Probe)
    for port in range(20000, 20000 + ports):
        presence = Presence(new_node_id(), Sequence(claim), port, http_port, nonce=probe.nonce)
        udp.sendto(encode_presence(presence), asker)
