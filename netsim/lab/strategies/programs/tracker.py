"""A small BitTorrent HTTP tracker (BEP 3, compact peers of BEP 23) for the strategies that need an ordinary one.

It runs as a program in the server's namespace, `python -m netsim.lab.strategies.programs.tracker ADDRESS PORT LOGFILE`,
holds peers in memory, one swarm for each info-hash, and appends one line for each announce to its log. It will not
expire peers, scrape, or choose whom to introduce: an ordinary tracker returns everyone up to `numwant`.
"""

from __future__ import annotations

import random
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PORT = 6969
_INTERVAL_S = 30
_NUMWANT = 200


def bencoded(value: int | bytes | dict[bytes, object]) -> bytes:
    """Return the bencoding of BEP 3; dictionaries come out sorted by key."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    items = b"".join(bencoded(key) + bencoded(value[key]) for key in sorted(value))  # type: ignore[arg-type]
    return b"d" + items + b"e"


def compact(address: str, port: int) -> bytes:
    """Return an IPv4 peer as the six bytes of BEP 23."""
    return bytes(int(part) for part in address.split(".")) + port.to_bytes(2, "big")


@dataclass(slots=True)
class Swarms:
    """Who has announced which info-hash, safe to use from many threads."""

    _peers: dict[bytes, set[bytes]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def announce(self, info_hash: bytes, peer: bytes, *, is_leaving: bool, numwant: int) -> bytes:
        """Note the peer and return up to `numwant` of the others, joined, in random order."""
        with self._lock:
            peers = self._peers.setdefault(info_hash, set())
            others = sorted(peers - {peer})
            if is_leaving:
                peers.discard(peer)
            else:
                peers.add(peer)
        random.shuffle(others)
        return b"".join(others[:numwant])


def answer(swarms: Swarms, query: str, client_address: str) -> bytes:
    """Return the reply to one announce's query string; raise KeyError or ValueError when it is malformed."""
    fields = parse_qs(query, keep_blank_values=True, encoding="latin-1", strict_parsing=True)
    numwant = min(_NUMWANT, int(fields.get("numwant", [str(_NUMWANT)])[0]))
    peers = swarms.announce(
        fields["info_hash"][0].encode("latin-1"),
        compact(client_address, int(fields["port"][0])),
        is_leaving=fields.get("event") == ["stopped"],
        numwant=max(0, numwant),
    )
    return bencoded({b"interval": _INTERVAL_S, b"peers": peers})


def make_handler(swarms: Swarms, log_path: Path) -> type[BaseHTTPRequestHandler]:
    """Return the handler class that answers announces from `swarms` and logs them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer one announce."""
            address, port = self.client_address[0], self.client_address[1]
            try:
                body = answer(swarms, urlsplit(self.path).query, address)
            except (KeyError, ValueError):
                self.send_error(400)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            with log_path.open("a") as log:
                log.write(f"{address}:{port} {len(body)} bytes\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Print nothing: the log file has it."""

    return Handler


class Server(ThreadingHTTPServer):
    """An HTTP server with a backlog for a rack that starts all at once."""

    daemon_threads = True
    request_queue_size = 1024


def main() -> None:
    """Serve until killed."""
    address, port, log = sys.argv[1:]
    Server((address, int(port)), make_handler(Swarms(), Path(log))).serve_forever()


if __name__ == "__main__":
    main()
