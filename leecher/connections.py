"""Connections to origins that are kept open, and blocking work over them in threads.

An asynchronous HTTP stack costs some 0.3 ms of processor time for every 16 KiB TLS record (50 MB/s at most) and 4 ms
for an announce; the standard library's client in a thread costs a tenth of that (docs/performance.md). It will not
retry.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import trio

from leecher.nursery import open_nursery
from swarmboot.errors import ProtocolError, StalledError, TransferError, UnreachableError

CONNECT_S = 5.0
SILENT_S = 10.0


class OneWrite(http.client.HTTPConnection):
    """Sends a request's head and body in one write, so that the server wakes up once for it."""

    _parts: list[bytes] | None = None

    def request(self, *arguments: Any, **options: Any) -> None:
        """Send a request."""
        self._parts = []
        try:
            super().request(*arguments, **options)
            whole = b"".join(self._parts)
        finally:
            self._parts = None
        self.send(whole)

    def send(self, data: Any) -> None:
        """Send bytes, or keep them for the request that is being put together."""
        if self._parts is None:
            super().send(data)
        else:
            self._parts.append(bytes(data))


class OneWriteTls(OneWrite, http.client.HTTPSConnection):
    """The same over TLS."""


Ask = Callable[[http.client.HTTPConnection], http.client.HTTPResponse]
"""Sends a request and returns the beginning of its answer."""
Take = Callable[[http.client.HTTPConnection, http.client.HTTPResponse], None]
"""Reads the rest of an answer."""


class Connections:
    """Open connections by origin; at most as many as there are exchanges at once."""

    def __init__(self, context: ssl.SSLContext, *, bind: str = "") -> None:
        self._context = context
        self._source = (bind, 0) if bind else None
        self._idle: dict[str, list[http.client.HTTPConnection]] = {}

    async def exchange(self, url: str, ask: Ask, take: Take, *, silent_s: float = SILENT_S) -> None:
        """Ask and take over one connection, in a thread; raise TransferError for whatever goes wrong.

        When cancelled, the connection is torn down, which ends the thread.
        """
        parts = urlsplit(url)
        idle = self._idle.setdefault(parts.netloc, [])
        connection, is_fresh = (idle.pop(), False) if idle else (self._connection(url), True)

        def work() -> None:
            try:
                response = _dialled(connection, silent_s, ask)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if is_fresh:
                    raise
                connection.close()  # an idle connection that the origin has closed meanwhile: dial anew
                response = _dialled(connection, silent_s, ask)
            take(connection, response)

        try:
            await _in_thread(work, lambda: _tear(connection))
        except TransferError:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _translated(error, url, silent_s) from error
        idle.append(connection)

    def _connection(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        assert parts.hostname is not None
        if parts.scheme == "http":
            return OneWrite(parts.hostname, parts.port, timeout=CONNECT_S, source_address=self._source)
        return OneWriteTls(
            parts.hostname, parts.port, timeout=CONNECT_S, source_address=self._source, context=self._context
        )

    def close(self) -> None:
        """Close the connections that are not in use."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()


def _dialled(connection: http.client.HTTPConnection, silent_s: float, ask: Ask) -> http.client.HTTPResponse:
    if connection.sock is None:
        connection.connect()
    _be_patient(connection, silent_s)
    return ask(connection)


def _be_patient(connection: http.client.HTTPConnection, silent_s: float) -> None:
    connection.sock.settimeout(silent_s)


async def _in_thread(work: Callable[[], None], tear: Callable[[], None]) -> None:
    """Run blocking work in a thread; when cancelled, tear down what it blocks on and wait for its end."""
    finished = trio.Event()
    failure: list[Exception] = []

    def run() -> None:
        try:
            work()
        except (OSError, http.client.HTTPException, TransferError) as error:
            failure.append(error)

    async def carry() -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(run)
        finished.set()

    async with open_nursery() as nursery:
        nursery.start_soon(carry)
        try:
            await finished.wait()
        finally:
            if not finished.is_set():
                tear()
    if failure:
        raise failure[0]


def _tear(connection: http.client.HTTPConnection) -> None:
    """Wake a thread that waits for this connection's bytes."""
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _translated(error: OSError | http.client.HTTPException, url: str, silent_s: float) -> TransferError:
    if isinstance(error, TimeoutError):
        return StalledError(f"{url} sends nothing", found=f"silence for {silent_s:g} s")
    if isinstance(error, ssl.SSLCertVerificationError):
        what = f"{url} cannot be reached: its certificate is not trusted ({error.verify_message})"
        return UnreachableError(what, hint="check --ca")
    if isinstance(error, http.client.HTTPException | ConnectionResetError | BrokenPipeError | ssl.SSLError):
        return ProtocolError(f"{url} breaks off: {error or type(error).__name__}")
    return UnreachableError(f"{url} cannot be reached: {error}", hint="check that `swarmboot serve` runs there")
