"""HTTPS from an origin: small documents whole, and announces. Runs of pieces are read by `leecher.span`.

Every read is bounded and every answer checked against what was asked. An origin is untrusted: what it sends is
believed only when a signature or a piece's hash says so. It will not retry; that is the caller's policy.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from leecher.span import CONNECT_S, SILENT_S, SpanReader
from swarmboot.errors import KeyFileError, OriginError, ProtocolError, StalledError, TransferError, UnreachableError


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
    """Open connections to origins, from the address `bind` if one is given."""
    context = tls_context(authority)
    transport = httpx.AsyncHTTPTransport(
        verify=context,
        local_address=bind or None,
        limits=httpx.Limits(max_connections=16, max_keepalive_connections=8, keepalive_expiry=60),
    )
    timeout = httpx.Timeout(SILENT_S, connect=CONNECT_S)
    async with httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as client:
        spans = SpanReader(context, bind=bind)
        yield Origin(client, spans)
        spans.close()


class Origin:
    """Reads from any origin by address."""

    def __init__(self, client: httpx.AsyncClient, spans: SpanReader) -> None:
        self._client = client
        self.spans = spans

    async def document(self, url: str, *, max_bytes: int) -> bytes:
        """Return a whole small document; raise TransferError if it cannot be had or is larger than `max_bytes`."""
        with _translated(url):
            async with self._client.stream("GET", url, headers={"accept-encoding": "identity"}) as response:
                _check_status(response, url, 200)
                return await _read(response, url, max_bytes)

    async def post(self, url: str, body: bytes, *, media_type: str, max_bytes: int, timeout_s: float) -> bytes:
        """Send `body` and return the answer; raise TransferError if none comes or it is larger than `max_bytes`."""
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_S)
        with _translated(url):
            headers = {"content-type": media_type}
            async with self._client.stream("POST", url, content=body, headers=headers, timeout=timeout) as response:
                if response.status_code != 204:
                    _check_status(response, url, 200)
                return await _read(response, url, max_bytes)


def _check_status(response: httpx.Response, url: str, expected: int) -> None:
    if response.status_code != expected:
        raise OriginError(
            f"{url} was refused",
            expected=f"status {expected}",
            found=f"{response.status_code} {response.reason_phrase}",
            hint="check the address and the server's log",
        )


async def _read(response: httpx.Response, url: str, max_bytes: int) -> bytes:
    body = bytearray()
    async for received in response.aiter_raw():
        body += received
        if len(body) > max_bytes:
            raise ProtocolError(f"{url} sends too much", expected=f"at most {max_bytes} bytes", found="more")
    return bytes(body)


def _reason(error: BaseException) -> str:
    """Return the innermost thing that has something to say: httpx often wraps it in an error without words."""
    said, inner = str(error), error.__cause__ or error.__context__
    while inner is not None:
        if isinstance(inner, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({inner.verify_message})"
        said, inner = said or str(inner), inner.__cause__ or inner.__context__
    return said or "no answer"


class _translated:  # noqa: N801 - reads as a word at its place of use
    """Turns httpx's errors into ours, each with its address."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
            hint = "check that `swarmboot serve` runs there, and --ca"
            raise UnreachableError(f"{self._url} cannot be reached: {_reason(error)}", hint=hint) from error
        if isinstance(error, httpx.TimeoutException):
            raise StalledError(f"{self._url} sends nothing", found=f"silence for {SILENT_S:g} s") from error
        if isinstance(error, httpx.RemoteProtocolError):
            raise ProtocolError(f"{self._url} breaks off: {error}") from error
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
            raise TransferError(f"{self._url} cannot be read: {error or type(error).__name__}") from error
