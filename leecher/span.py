"""Runs of pieces from an origin, as fast as the link: one streamed Range request (RFC 9110 section 14) in a thread.

The asynchronous HTTP stack costs some 0.3 ms of processor time for every 16 KiB TLS record, 50 MB/s at most; the
standard library's client, reading straight into a piece's buffer in a thread, costs a tenth of that (figures in
docs/performance.md). Small documents and announces stay with httpx in `leecher.origin`. It will not retry.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import trio

from swarmboot.errors import OriginError, ProtocolError, StalledError, TransferError, UnreachableError

CONNECT_S = 5.0
SILENT_S = 10.0
_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)\Z")

Take = Callable[[bytes], None]
"""Takes one piece's bytes, in trio's thread."""


@dataclass(frozen=True, slots=True)
class Span:
    """A run of bytes of one blob, taken in chunks of `chunk_bytes`, the last one shorter if need be."""

    url: str
    first_byte: int
    size_bytes: int
    chunk_bytes: int

    @property
    def last_byte(self) -> int:
        """Return the last byte's place, as a Range header names it."""
        return self.first_byte + self.size_bytes - 1


class SpanReader:
    """Reads spans over connections that are kept open between them."""

    def __init__(self, context: ssl.SSLContext, *, bind: str = "") -> None:
        self._context = context
        self._source = (bind, 0) if bind else None
        self._idle: dict[str, list[http.client.HTTPConnection]] = {}

    async def read(self, span: Span, take: Take) -> None:
        """Hand every chunk of a span to `take`; raise TransferError if the origin answers anything but those bytes.

        When cancelled, the connection is torn down, which ends the thread.
        """
        origin = span.url[: span.url.index("/", len("https://"))]
        idle = self._idle.setdefault(origin, [])
        connection, is_fresh = (idle.pop(), False) if idle else (self._connect(span.url), True)

        trio_thread = trio.lowlevel.current_trio_token()

        def work() -> None:
            try:
                response = _ask(connection, span)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if is_fresh:
                    raise
                connection.close()  # an idle connection that the origin has closed meanwhile: dial anew
                response = _ask(connection, span)
            _read(response, span, lambda chunk: trio_thread.run_sync_soon(take, chunk))

        try:
            await _in_thread(work, lambda: _tear(connection))
        except TransferError:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _translated(error, span.url) from error
        idle.append(connection)

    def _connect(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        assert parts.hostname is not None
        if parts.scheme == "http":
            return http.client.HTTPConnection(
                parts.hostname, parts.port, timeout=CONNECT_S, source_address=self._source
            )
        return http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=CONNECT_S, source_address=self._source, context=self._context
        )

    def close(self) -> None:
        """Close the connections that are not in use."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()


async def _in_thread(work: Callable[[], None], tear: Callable[[], None]) -> None:
    """Run blocking work in a thread; when cancelled, tear down what it blocks on and wait for its end."""
    finished = trio.Event()
    failure: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except (OSError, http.client.HTTPException, TransferError, trio.Cancelled) as error:
            failure.append(error)

    async with trio.open_nursery() as nursery:

        async def carry() -> None:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(run)
            finished.set()

        nursery.start_soon(carry)
        try:
            await finished.wait()
        finally:
            if not finished.is_set():
                tear()
    if failure and not isinstance(failure[0], trio.Cancelled):
        raise failure[0]


def _tear(connection: http.client.HTTPConnection) -> None:
    """Wake a thread that waits for this connection's bytes."""
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _dial(connection: http.client.HTTPConnection) -> None:
    connection.connect()
    connection.sock.settimeout(SILENT_S)


def _ask(connection: http.client.HTTPConnection, span: Span) -> http.client.HTTPResponse:
    if connection.sock is None:
        _dial(connection)
    headers = {"range": f"bytes={span.first_byte}-{span.last_byte}", "accept-encoding": "identity"}
    connection.request("GET", urlsplit(span.url).path, headers=headers)
    response = connection.getresponse()
    _check(response, span)
    return response


def _read(response: http.client.HTTPResponse, span: Span, give: Take) -> None:
    left = span.size_bytes
    while left:
        chunk = bytearray(min(left, span.chunk_bytes))
        view, filled = memoryview(chunk), 0
        while filled < len(chunk):
            got = response.readinto(view[filled:])
            if not got:
                found = f"{span.size_bytes - left + filled}"
                raise ProtocolError(f"{span.url} breaks off", expected=f"{span.size_bytes} bytes", found=found)
            filled += got
        give(bytes(chunk))
        left -= filled
    response.read()


def _check(response: http.client.HTTPResponse, span: Span) -> None:
    """Raise TransferError unless the answer is exactly the range that was asked for."""
    if response.status != 206:
        raise OriginError(
            f"{span.url} was refused",
            expected="status 206",
            found=f"{response.status} {response.reason}",
            hint="check the address and the server's log",
        )
    found = response.headers.get("content-range", "")
    match = _RANGE.match(found)
    if not match or (int(match[1]), int(match[2])) != (span.first_byte, span.last_byte):
        expected = f"bytes {span.first_byte}-{span.last_byte}"
        raise ProtocolError(f"{span.url} sends another range", expected=expected, found=repr(found))
    if response.length != span.size_bytes:
        what = f"{span.url} lies about its length"
        raise ProtocolError(what, expected=f"{span.size_bytes} bytes", found=f"{response.length}")


def _translated(error: OSError | http.client.HTTPException, url: str) -> TransferError:
    if isinstance(error, TimeoutError):
        return StalledError(f"{url} sends nothing", found=f"silence for {SILENT_S:g} s")
    if isinstance(error, ssl.SSLCertVerificationError):
        what = f"{url} cannot be reached: its certificate is not trusted ({error.verify_message})"
        return UnreachableError(what, hint="check --ca")
    if isinstance(error, http.client.HTTPException | ConnectionResetError | BrokenPipeError | ssl.SSLError):
        return ProtocolError(f"{url} breaks off: {error or type(error).__name__}")
    return UnreachableError(f"{url} cannot be reached: {error}", hint="check that `swarmboot serve` runs there")
