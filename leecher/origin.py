"""What a node says to an origin and to the seeder over HTTPS: small documents, announces, reports.

Every read is bounded and every answer checked against what was asked. An origin is untrusted: what it sends is
believed only when a signature or a piece's hash says so. Runs of pieces are read by `leecher.span`. It will not retry;
that is the caller's policy.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from leecher.connections import SILENT_S, Connections
from swarmboot.errors import KeyFileError, OriginError, ProtocolError


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


@asynccontextmanager
async def origin_client(authority: Path | None, *, bind: str = "") -> AsyncIterator[Origin]:
    """Open connections to origins, from the address `bind` if one is given, and close them at the end."""
    connections = Connections(tls_context(authority), bind=bind)
    try:
        yield Origin(connections)
    finally:
        connections.close()


class Origin:
    """Reads from any origin by address."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def document(self, url: str, *, max_bytes: int) -> bytes:
        """Return a whole small document; raise TransferError if it cannot be had or is larger than `max_bytes`."""
        return await self._exchange("GET", url, None, {}, max_bytes=max_bytes, silent_s=SILENT_S)

    async def post(self, url: str, body: bytes, *, media_type: str, max_bytes: int, timeout_s: float) -> bytes:
        """Send `body` and return the answer; raise TransferError if none comes or it is larger than `max_bytes`."""
        headers = {"content-type": media_type}
        return await self._exchange("POST", url, body, headers, max_bytes=max_bytes, silent_s=timeout_s)

    async def _exchange(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str], *, max_bytes: int, silent_s: float
    ) -> bytes:
        answers: list[bytes] = []

        def ask(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
            connection.request(method, urlsplit(url).path, body, {**headers, "accept-encoding": "identity"})
            return connection.getresponse()

        def read(_connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
            if response.status not in (200, 204):
                raise OriginError(
                    f"{url} was refused",
                    expected="status 200",
                    found=f"{response.status} {response.reason}",
                    hint="check the address and the server's log",
                )
            answer = response.read(max_bytes + 1)
            if len(answer) > max_bytes:
                raise ProtocolError(f"{url} sends too much", expected=f"at most {max_bytes} bytes", found="more")
            answers.append(answer)

        await self.connections.exchange(url, ask, read, silent_s=silent_s)
        return answers[0]
