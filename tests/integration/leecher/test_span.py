"""Runs of pieces from an origin that stays connected: every size of piece arrives whole, the last bytes at once."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

import pytest
import trio

from leecher.origin.connection_pool import Connections
from leecher.origin.range_request import ByteRange, RangeRequest
from leecher.origin.threads import in_thread

DATA = Random(3).randbytes(3 << 20)
SENT_AT_ONCE = 20_000


class SlowOrigin(BaseHTTPRequestHandler):
    """Answers ranges in small writes and keeps the connection open afterwards."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        first, last = (int(end) for end in self.headers["range"].removeprefix("bytes=").split("-"))
        self.send_response(206)
        self.send_header("content-range", f"bytes {first}-{last}/{len(DATA)}")
        self.send_header("content-length", str(last - first + 1))
        self.end_headers()
        for start in range(first, last + 1, SENT_AT_ONCE):
            self.wfile.write(DATA[start : min(last + 1, start + SENT_AT_ONCE)])
            time.sleep(0.0005)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def origin() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowOrigin)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/blobs/x"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("piece_bytes", [1 << 14, 1 << 17, 1 << 18, 1 << 20])
@pytest.mark.parametrize("size_bytes", [1 << 14, (1 << 18) + 1, 2_500_000])
async def test_the_last_bytes_of_a_span_are_not_waited_for(origin: str, piece_bytes: int, size_bytes: int) -> None:
    chunks: list[bytes] = []
    connections = Connections(ssl.create_default_context())
    with trio.fail_after(5):
        await in_thread(RangeRequest(connections, ByteRange(origin, 4096, size_bytes, piece_bytes), chunks.append))
    connections.close()
    assert b"".join(chunks) == DATA[4096 : 4096 + size_bytes]
    assert {len(chunk) for chunk in chunks[:-1]} <= {piece_bytes}
