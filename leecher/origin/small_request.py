"""Small requests with small answers: documents, announces, reports. Bounded; blocking, as `connection_pool` says.

An origin is untrusted: what it answers is believed only when a signature says so.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from http import HTTPStatus

from leecher.origin.connection_pool import SILENT_S, Connections, Request
from swarmboot.crypto.fleet_token import PROOF_HEADER, Prover, certificate_digest
from swarmboot.errors import ForbiddenError, OriginError, ProofRefusedError, ProtocolError

_READ_BYTES = 4096
_SAID_MAX = 400


class SmallRequest(Request):
    """A GET, or a POST of `body`; `answer` is the whole answer once it has run, `status` that of any answer.

    `run` raises TransferError if there is none, one larger than `max_bytes`, or one that takes too long in all;
    ForbiddenError for a POST that is answered with 403.
    """

    def __init__(
        self,
        connections: Connections,
        url: str,
        *,
        max_bytes: int,
        body: bytes | None = None,
        media_type: str = "",
        silent_s: float = SILENT_S,
        prover: Prover | None = None,
    ) -> None:
        super().__init__(connections, url, silent_s=silent_s)
        self.answer = b""
        self.status = 0
        self._prover = prover
        self._max_bytes = max_bytes
        self._body = body
        self._headers: Mapping[str, str] = {"content-type": media_type} if media_type else {}

    def send(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        """Send the request and return the beginning of its answer."""
        method = "GET" if self._body is None else "POST"
        headers = {**self._headers, **self._proof(connection), "accept-encoding": "identity"}
        connection.request(method, self.path, self._body, headers)
        return connection.getresponse()

    def _proof(self, connection: http.client.HTTPConnection) -> Mapping[str, str]:
        """Return the proof, for the very server that the connection leads to; nothing leaves over plain HTTP."""
        if self._prover is None or not isinstance(connection.sock, ssl.SSLSocket):
            return {}
        try:
            certificate = connection.sock.getpeercert(binary_form=True)
        except ValueError as error:  # so says the ssl module of a connection whose TLS has broken since it was kept
            raise ConnectionResetError(str(error)) from error
        if certificate is None:
            return {}
        digest = certificate_digest(certificate)
        return {PROOF_HEADER: self._prover.header(self.path, self._body or b"", certificate=digest)}

    def receive(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:  # noqa: ARG002
        """Read the rest of the answer."""
        self.status = response.status
        if response.status == HTTPStatus.FORBIDDEN and response.getheader(PROOF_HEADER):
            raise ProofRefusedError(
                f"{self.url} does not accept this node's fleet token"
                if self._prover
                else f"{self.url} asks for a fleet token",
                hint="build the initramfs with the token that `swarmboot serve --fleet-token` has",
            )
        if response.status not in (200, 204):
            is_forbidden = response.status == HTTPStatus.FORBIDDEN and self._body is not None
            refusal = ForbiddenError if is_forbidden else OriginError
            raise refusal(
                f"{self.url} was refused",
                expected="status 200",
                found=f"{response.status} {response.reason}".rstrip() + _said(response),
                hint="check the address and the server's log",
            )
        if response.length is None and not response.chunked:
            # a head that breaks off looks to http.client like one without a length
            raise ProtocolError(f"{self.url} does not say how long its answer is", expected="a content-length")
        answer = bytearray()
        buffer = bytearray(_READ_BYTES)
        while received := response.readinto(buffer):
            answer += buffer[:received]
            self.progressed(len(answer))
            if len(answer) > self._max_bytes:
                most = f"at most {self._max_bytes} bytes"
                raise ProtocolError(f"{self.url} sends too much", expected=most, found="more")
        if response.length:
            expected = f"{len(answer) + response.length} bytes"
            raise ProtocolError(f"{self.url} breaks off", expected=expected, found=f"{len(answer)}")
        self.answer = bytes(answer)


def _said(response: http.client.HTTPResponse) -> str:
    """Return what a server says of a file that is not there, as of a channel; nothing that is long, or no text."""
    length, kind = response.length or 0, response.getheader("content-type", "")
    if response.status != HTTPStatus.NOT_FOUND or not 0 < length <= _SAID_MAX or not kind.startswith("text/plain"):
        return ""
    return f": {response.read(length).decode(errors='replace').strip()}"
