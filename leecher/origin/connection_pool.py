"""Connections to origins that are kept open, and what is asked over one of them at a time.

Blocking, and without trio, because a boot's first requests are made before trio is there (`leecher.boot.head_start`);
later ones run in threads (`leecher.origin.threads`). An asynchronous HTTP stack costs some 0.3 ms of processor time for
every 16 KiB TLS record (50 MB/s at most) and 4 ms for an announce; the standard library's client in a thread costs a
tenth of that (docs/performance.md). Nothing here retries.

A request has a deadline in all, not only for each read: an origin that drips a header, interim answers without end
(RFC 9110 section 15.2) or a trailer is ended by `leecher.origin.deadlines`.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from abc import ABC, abstractmethod
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from leecher.origin.deadlines import WATCH, Deadline
from swarmboot.errors import KeyFileError, ProtocolError, StalledError, TransferError, UnreachableError
from swarmboot.text.addresses import connection_address

CONNECT_S = 5.0
SILENT_S = 10.0
FLOOR_BYTES_PER_S = 2048
"""An answer may not be slower, past the time that it may take to begin: 64 nodes on 2.5 Mbit/s have 4.9 kB/s each."""


def tls_context(authority: Path | None) -> ssl.SSLContext:
    """Return what HTTPS connections are checked with; raise KeyFileError if the authority's certificate is unusable."""
    try:
        return ssl.create_default_context(cafile=str(authority) if authority else None)
    except (OSError, ssl.SSLError) as error:
        raise KeyFileError(
            f"the certificate authority {authority} cannot be used: {error.strerror or error}",
            expected="a certificate in PEM",
            hint="give the ca.pem that `swarmboot serve` made",
        ) from error


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

    def __init__(self, *arguments: Any, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(*arguments, context=context, **options)
        self._tls = context
        self._source = options.get("source_address")

    def connect(self) -> None:
        """Dial and shake hands, within the timeout each; the socket can be shut down meanwhile."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock.do_handshake()

    def refusal(self, error: ssl.SSLCertVerificationError, url: str) -> TransferError:
        """Return what a certificate that is not accepted means, and what to do about it."""
        from leecher.origin.certificate import refusal_of, shown_dates

        def dial() -> socket.socket:
            return socket.create_connection((self.host, self.port), self.timeout, self._source)

        authorities = self._tls.get_ca_certs()
        return refusal_of(error, url, authorities=authorities, shown=lambda: shown_dates(dial), now_s=time.time())


class Connections:
    """Open connections by origin; at most as many as there are requests at once. Any thread may borrow one."""

    def __init__(self, context: ssl.SSLContext, *, bind: str = "", connect_s: float = CONNECT_S) -> None:
        self._context = context
        self.connect_s = connect_s
        self._is_closed = False
        self._source = (bind, 0) if bind else None
        self._idle: dict[str, list[http.client.HTTPConnection]] = {}
        self._reached: dict[str, str] = {}

    def has_reached(self, url: str) -> bool:
        """Return whether a URL's origin has taken a connection, whether it answered over it or not."""
        return urlsplit(url).netloc in self._reached

    def note_reached(self, url: str, connection: http.client.HTTPConnection) -> None:
        """Note that a URL's origin has taken a connection, and the address at this end of it; raises OSError."""
        self._reached[urlsplit(url).netloc] = connection_address(connection.sock.getsockname()[0])

    def own_end(self, url: str) -> str:
        """Return the address at this end of the last connection to a URL's origin; nothing before there was one."""
        return self._reached.get(urlsplit(url).netloc, "")

    def has_idle(self, url: str) -> bool:
        """Return whether a connection to a URL's origin is open and in nobody's use."""
        return bool(self._idle.get(urlsplit(url).netloc))

    def borrow(self, url: str) -> tuple[http.client.HTTPConnection, bool]:
        """Return a connection to a URL's origin that nobody uses, and whether it still has to be dialled."""
        parts = urlsplit(url)
        try:
            return self._idle.setdefault(parts.netloc, []).pop(), False
        except IndexError:
            return self._connection(parts), True

    def give_back(self, url: str, connection: http.client.HTTPConnection) -> None:
        """Keep a connection for whoever asks the same origin next, or close it if there will be nobody."""
        if self._is_closed:
            connection.close()
            return
        self._idle.setdefault(urlsplit(url).netloc, []).append(connection)

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        assert parts.hostname is not None
        if parts.scheme == "http":
            return OneWrite(parts.hostname, parts.port, timeout=self.connect_s, source_address=self._source)
        return OneWriteTls(
            parts.hostname, parts.port, timeout=self.connect_s, source_address=self._source, context=self._context
        )

    def close(self) -> None:
        """Close the connections that are not in use, and the others once they are given back."""
        self._is_closed = True
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()


class Request(ABC):
    """What is asked of an origin, and its answer. `run` blocks; `abort` ends it from another thread."""

    def __init__(self, connections: Connections, url: str, *, silent_s: float = SILENT_S) -> None:
        self.url = url
        self._connections = connections
        self._silent_s = silent_s
        self._connection: http.client.HTTPConnection | None = None
        self._deadline: Deadline | None = None
        self._sent_s = 0.0

    @property
    def path(self) -> str:
        """Return what the request line names."""
        return urlsplit(self.url).path

    @abstractmethod
    def send(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        """Send the request and return the beginning of its answer."""

    @abstractmethod
    def receive(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        """Read the rest of the answer."""

    def run(self) -> None:
        """Send and receive; raise TransferError if anything goes wrong, StalledError if the answer takes too long."""
        connection, is_fresh = self._connections.borrow(self.url)
        self._connection = connection
        try:
            with closing(self._answer(connection, is_fresh=is_fresh)) as response:
                self.receive(connection, response)
        except (OSError, http.client.HTTPException, TransferError, ValueError) as error:
            connection.close()
            raise self._failure(error, connection) from error
        finally:
            self._end_watch()
        self._connection = None
        if self._is_overdue:
            connection.close()
            raise self._too_slow()
        self._connections.give_back(self.url, connection)

    def _answer(self, connection: http.client.HTTPConnection, *, is_fresh: bool) -> http.client.HTTPResponse:
        try:
            return self._dial_and_send(connection)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            if is_fresh or self._is_overdue:
                raise
            self._end_watch()
            connection.close()  # an idle connection that the origin has closed meanwhile: dial anew
            return self._dial_and_send(connection)

    def _dial_and_send(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        if connection.sock is None:
            connection.connect()
            self._connections.note_reached(self.url, connection)
        connection.sock.settimeout(self._silent_s)
        self._sent_s = time.monotonic()
        self._deadline = WATCH.begin(self._silent_s, self.abort)
        return self.send(connection)

    def progressed(self, received_bytes: int) -> None:
        """Put the deadline off for what has been received of the answer since it began."""
        if self._deadline is not None:
            self._deadline.due_s = self._sent_s + self._silent_s + received_bytes / FLOOR_BYTES_PER_S

    @property
    def _is_overdue(self) -> bool:
        return self._deadline is not None and self._deadline.is_over

    def _end_watch(self) -> None:
        if self._deadline is not None:
            WATCH.finish(self._deadline)

    def _failure(
        self,
        error: OSError | http.client.HTTPException | TransferError | ValueError,
        connection: http.client.HTTPConnection,
    ) -> TransferError:
        if self._is_overdue:
            return self._too_slow()
        if isinstance(error, TransferError):
            return error
        if isinstance(error, ssl.SSLCertVerificationError) and isinstance(connection, OneWriteTls):
            return connection.refusal(error, self.url)
        return _translated(error, self.url, self._silent_s if self._sent_s else self._connections.connect_s)

    def _too_slow(self) -> StalledError:
        took_s = time.monotonic() - self._sent_s
        expected = f"an answer within {self._silent_s:g} s, and {FLOOR_BYTES_PER_S} bytes/s from then on"
        return StalledError(f"{self.url} takes too long", expected=expected, found=f"none after {took_s:.0f} s")

    def abort(self) -> None:
        """Wake the thread that waits for this request's bytes, and let it fail.

        Under TLS only the socket below is shut down: after `SSLSocket.shutdown` the reader would take ciphertext for
        what it waits for.
        """
        connection = self._connection
        below = connection.sock if connection is not None else None
        if below is not None:
            with suppress(OSError):
                socket.socket.shutdown(below, socket.SHUT_RDWR)


def _translated(error: OSError | http.client.HTTPException | ValueError, url: str, silent_s: float) -> TransferError:
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        # numbers of thousands of digits and negative lengths, in what http.client and email read of a head or a chunk
        return ProtocolError(f"{url} sends an answer that cannot be read", found=str(error)[:80])
    if isinstance(error, TimeoutError):
        return StalledError(f"{url} sends nothing", found=f"silence for {silent_s:g} s")
    if isinstance(error, http.client.HTTPException | ConnectionResetError | BrokenPipeError | ssl.SSLError):
        return ProtocolError(f"{url} breaks off: {error or type(error).__name__}")
    return UnreachableError(f"{url} cannot be reached: {error}", hint="check that `swarmboot serve` runs there")
