"""The seeder or mirror that a site is brought from, over HTTPS with httpx. Nothing that it answers is believed here.

Documents are read whole and bounded; blobs by Range, as a stream of parts. A request that fails on the way is tried
again a few times, one that is answered with a refusal or finds nobody is not. Redirections and the environment's
proxies are not followed, as nodes do not.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from swarmboot.backoff import doubled_s
from swarmboot.crypto.fleet_token import (
    PROOF_HEADER,
    SEALED_MAX_BYTES,
    SECRETS_PATH,
    FleetProver,
    FleetToken,
    certificate_digest,
)
from swarmboot.errors import (
    KeyFileError,
    MalformedSettingError,
    OriginError,
    ProofRefusedError,
    ProtocolError,
    StalledError,
    TransferError,
    UnreachableError,
)
from swarmboot.ids import Digest, new_node_id
from swarmboot.release import layout
from swarmboot.wire.announce import WIRE_TYPE
from swarmboot.wire.private import encode_secrets_wanted

CHANNELS_PATH = "channels"
SILENT_S = 30.0
_LIST_MAX_BYTES = 1 << 16
_TRIES = 4

T = TypeVar("T")


def tried_again(ask: Callable[[], T]) -> T:
    """Return what `ask` returns, tried four times within two seconds where it is the way that fails."""
    for failures in range(1, _TRIES):
        try:
            return ask()
        except (OriginError, UnreachableError):
            raise
        except TransferError:
            time.sleep(doubled_s(0.125, 4.0, failures))
    return ask()


class Remote:
    """Another site's server at a URL that `read_server` has accepted."""

    def __init__(self, url: str, *, ca: Path | None, silent_s: float = SILENT_S) -> None:
        self.url = url
        self._certificate = b""
        limits = httpx.Limits(max_connections=8)
        try:
            context = ssl.create_default_context(cafile=str(ca) if ca else None)
        except ssl.SSLError as error:
            raise KeyFileError(f"{ca} holds no certificate", hint="give the server's ca.pem") from error
        except OSError as error:
            raise KeyFileError(f"{ca} cannot be read: {error.strerror}", hint="give the server's ca.pem") from error
        headers = {"accept-encoding": "identity", "user-agent": "swarmboot-pull"}
        self._client = httpx.Client(verify=context, timeout=silent_s, headers=headers, limits=limits, trust_env=False)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def document(self, path: str, *, max_bytes: int) -> bytes:
        """Return what lies under a site's path; raise TransferError if it does not come or is larger."""
        return tried_again(lambda: self._document(path, max_bytes))

    def _document(self, path: str, max_bytes: int) -> bytes:
        with self._asking(httpx.Request("GET", f"{self.url}/{path}")) as response:
            return self._whole(response, max_bytes)

    def channels(self) -> tuple[str, ...]:
        """Return the names of its channels, none if it does not say: an older seeder, or a plain web server."""
        try:
            names: Any = json.loads(self.document(CHANNELS_PATH, max_bytes=_LIST_MAX_BYTES))["channels"]
            is_right = isinstance(names, list) and all(isinstance(name, str) for name in names)
            return tuple(layout.check_channel_name(name) for name in names) if is_right else ()
        except (OriginError, ProtocolError, MalformedSettingError, ValueError, KeyError, TypeError, RecursionError):
            return ()

    def secrets(self, digest: Digest, token: FleetToken) -> bytes:
        """Return sealed settings, which are given only to who proves the fleet token, and over TLS."""
        body = encode_secrets_wanted(digest)
        prover = FleetProver(token, new_node_id())
        if not self._certificate:
            raise ProtocolError(f"{self.url} is not asked for secret settings", expected="https", found="no TLS")
        proof = prover.header(SECRETS_PATH, body, certificate=certificate_digest(self._certificate))
        headers = {"content-type": WIRE_TYPE, PROOF_HEADER: proof}
        request = httpx.Request("POST", f"{self.url}{SECRETS_PATH}", content=body, headers=headers)
        with self._asking(request) as response:
            return self._whole(response, SEALED_MAX_BYTES)

    def part(self, path: str, *, first_byte: int, size_bytes: int) -> Iterator[bytes]:
        """Yield the bytes of a part of a blob as they come, never more than were asked for."""
        last = first_byte + size_bytes - 1
        request = httpx.Request("GET", f"{self.url}/{path}", headers={"range": f"bytes={first_byte}-{last}"})
        with self._asking(request, status=206) as response:
            found = response.headers.get("content-range", "").partition("/")[0]
            if found != f"bytes {first_byte}-{last}":
                raise ProtocolError(f"{self.url}/{path}: another part", expected=f"{first_byte}-{last}", found=found)
            left = size_bytes
            for data in response.iter_raw():
                yield data[:left]
                left -= len(data)
                if left <= 0:
                    return
        raise ProtocolError(f"{self.url}/{path} breaks off", expected=f"{size_bytes} bytes", found=f"{left} fewer")

    def _whole(self, response: httpx.Response, max_bytes: int) -> bytes:
        data = bytearray()
        for part in response.iter_raw():
            data += part
            if len(data) > max_bytes:
                raise ProtocolError(f"{response.url} sends too much", expected=f"at most {max_bytes} bytes")
        return bytes(data)

    @contextmanager
    def _asking(self, request: httpx.Request, *, status: int = 200) -> Iterator[httpx.Response]:
        """Send a request and give the answer, not read yet; raise TransferError for any other than `status`."""
        request.headers.update(
            {key: value for key, value in self._client.headers.items() if key not in request.headers}
        )
        try:
            response = self._client.send(request, stream=True)
            try:
                self._note_certificate(response)
                self._check_status(response, status)
                yield response
            finally:
                response.close()
        except httpx.TimeoutException as error:
            raise StalledError(f"{self.url} is silent", hint="run it again: it goes on where it was") from error
        except httpx.ConnectError as error:
            raise self._unreachable(error) from error
        except httpx.HTTPError as error:
            raise ProtocolError(f"{request.url}: {error}", hint="run it again: it goes on where it was") from error

    def _note_certificate(self, response: httpx.Response) -> None:
        stream = response.extensions.get("network_stream")
        tls = stream.get_extra_info("ssl_object") if stream is not None else None
        if tls is not None:
            self._certificate = tls.getpeercert(True) or b""

    def _check_status(self, response: httpx.Response, status: int) -> None:
        if response.status_code == status:
            return
        if response.status_code == 403 and response.headers.get(PROOF_HEADER):
            raise ProofRefusedError(f"{self.url} does not accept this fleet token", hint="give the one serve has")
        has_no_ranges = (status, response.status_code) == (206, 200)
        raise OriginError(
            f"{response.url} was refused",
            expected=f"status {status}",
            found=str(response.status_code),
            hint="the server must serve Range requests" if has_no_ranges else "check the address and the server's log",
        )

    def _unreachable(self, error: httpx.ConnectError) -> UnreachableError:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            hint = "give --ca with the server's ca.pem, and the server by a name that its certificate has"
            return UnreachableError(f"{self.url} is not trusted", found=str(error), hint=hint)
        return UnreachableError(f"{self.url} does not answer", found=str(error), hint="is serve running there?")
