"""Who may speak to the seeder: everybody, or only nodes that prove the fleet token.

Asked before anything of a request is decoded. Refusals are counted, and told at most once in a while. It decides by
`swarmboot.crypto.fleet_token` alone; what is public (blobs, manifests, channels, torrents, keys) never comes here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from starlette.responses import PlainTextResponse
from starlette.types import Scope

from swarmboot.crypto import fleet_token
from swarmboot.crypto.fleet_token import PROOF_HEADER, FleetToken, Proof
from swarmboot.errors import KeyFileError

TELL_EVERY_S = 10.0
_HEADER = PROOF_HEADER.encode()


class Guard:
    """Checks proofs against `tokens`; without tokens everybody passes. `certificate` names what this server shows."""

    def __init__(
        self,
        tokens: tuple[FleetToken, ...] = (),
        certificate: bytes = b"",
        *,
        tell: Callable[[str], None] = print,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.refused = 0
        self._tokens = tokens
        self._certificates: tuple[bytes, ...] = (certificate,)
        self._tell = tell
        self._clock = clock
        self._told_s = -TELL_EVERY_S
        self._told = 0

    def also_show(self, certificate: bytes) -> None:
        """Take note that new connections are shown another certificate; those that are there go on with the last."""
        self._certificates = (certificate, self._certificates[0])

    @property
    def is_open(self) -> bool:
        """Return whether no proof is asked for."""
        return not self._tokens

    def proof(self, scope: Scope) -> Proof | None:
        """Return the proof that a request brings, unchecked, or None, as where there is no token; costs little."""
        for name, value in scope["headers"] if self._tokens else ():
            if name == _HEADER:
                return fleet_token.parse_proof(value.decode("latin-1"))
        return None

    def is_node(self, proof: Proof | None, path: str, body: bytes) -> bool:
        """Return whether an announce or report is its node's."""
        return self.is_open or (
            proof is not None
            and any(
                fleet_token.is_proved_by_node(self._tokens, proof, path, body, certificate=each)
                for each in self._certificates
            )
        )

    def is_fleet(self, proof: Proof | None, path: str, body: bytes) -> bool:
        """Return whether a request comes from a holder of the token; nobody is one where there is none."""
        return proof is not None and any(
            fleet_token.is_proved_by_fleet(self._tokens, proof, path, body, certificate=each)
            for each in self._certificates
        )

    def is_named(self, proof: Proof | None, node: bytes | str) -> bool:
        """Return whether a checked proof is that of the node that the body names, by its id or in hexadecimal."""
        return self.is_open or (proof is not None and node in (proof.node, proof.node.hex()))

    def refusal(self, scope: Scope) -> PlainTextResponse:
        """Return the answer to a request without a right proof, having counted it."""
        self.refused += 1
        now_s = self._clock()
        if now_s - self._told_s >= TELL_EVERY_S:
            count, self._told, self._told_s = self.refused - self._told, self.refused, now_s
            host = scope["client"][0] if scope.get("client") else "somebody"
            before = f", {count} since the last such line" if count > 1 else ""
            self._tell(f"refused {host}, which does not prove the fleet token{before}")
        text = "this server answers only nodes that prove its fleet token\n"
        return PlainTextResponse(text, status_code=403, headers={PROOF_HEADER: "required"})


def served_certificate(path: Path) -> bytes:
    """Return what names the first certificate of a PEM file to nodes; raise KeyFileError if there is none in it."""
    import ssl

    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        text = path.read_text()
        one = text[text.index(begin) : text.index(end) + len(end)]
        return fleet_token.certificate_digest(ssl.PEM_cert_to_DER_cert(one))
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path} holds no certificate", expected="a certificate in PEM", found=str(error)) from error
