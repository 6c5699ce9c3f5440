"""The fleet token: one secret that nodes and seeder share, and what is made from it: proofs and sealed settings.

A token is 32 random bytes in a file of its own, `swarmboot-token BASE64`, readable by its owner only. It is never sent.
Keys for each use are derived from it with HKDF-SHA256 (RFC 5869), each with an `info` of its own:

- **Proofs.** HMAC-SHA256 (RFC 2104) over a request's path, its body and the digest of the certificate that the server
  showed, so that a proof made for one server is worth nothing at another (as tls-server-end-point in RFC 5929). An
  announce or a report is proved with a key that is derived for one node id: whoever holds that key alone, as the
  neighbour in a booted system does, speaks for that node and can have nothing else.
- **Seals.** Secret settings are encrypted with ChaCha20-Poly1305 (RFC 8439) under a key that is derived from the token
  and from an HMAC of the text, as in SIV (RFC 5297): the same settings have the same bytes, and no key meets two texts.

It opens no socket and reads no clock; only `read_tokens` and `write_token` touch a file. docs/decisions/0035 says why.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from swarmboot.codec import DecodeError, Fields, pack, unpack
from swarmboot.errors import KeyFileError, ReleaseError, TokenError
from swarmboot.ids import NodeId

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

PROOF_HEADER = "x-swarmboot-proof"
"""Carries a proof in a request; in an answer of status 403 it says that one is asked for."""

SECRETS_PATH = "/secrets"
NODE_FILES_PATH = "/node-files"
TOKEN_BYTES = 32
MAX_TOKENS = 8
SECRETS_MAX_BYTES = 1 << 16
MAX_SECRETS = 1024
SECRET_FILES_MAX_BYTES = 45_000
"""What the secret files of a layer may take, packed: in base64 they fit where settings do."""

SEALED_MAX_BYTES = 1 << 20
EXAMPLE = bytes(range(32, 64))
"""The token that documentation shows: known to everybody, so never taken."""

_LABEL = "swarmboot-token"
_FILES = "files"
_FILE_MAX_BYTES = 4096
_FEWEST_VALUES = 16
_ID_BYTES = 8
_SIV_BYTES = 32
_NONCE = bytes(12)
_HEADER = re.compile(r"([0-9a-f]{32}):([0-9a-f]{64})\Z")
_HINT = "make one with `swarmboot keygen --fleet-token FILE`"


def _derived(secret: bytes, info: bytes) -> bytes:
    """Return 32 bytes for one use: HKDF-SHA256 (RFC 5869) without salt, one block of output."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, b"swarmboot " + info + b"\x01", "sha256")


@dataclass(frozen=True, slots=True)
class FleetToken:
    """One token and the keys derived from it; none of them is shown when it is printed."""

    secret: bytes = field(repr=False)
    name: bytes = field(init=False)
    nodes_key: bytes = field(init=False, repr=False)
    seal_key: bytes = field(init=False, repr=False)
    siv_key: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _derived(self.secret, b"name 1")[:_ID_BYTES])
        object.__setattr__(self, "nodes_key", _derived(self.secret, b"nodes 1"))
        object.__setattr__(self, "seal_key", _derived(self.secret, b"seal 1"))
        object.__setattr__(self, "siv_key", _derived(self.secret, b"siv 1"))

    def key_of(self, node: NodeId) -> bytes:
        """Return the key that proves the announces and reports of one node."""
        return hmac.digest(self.nodes_key, b"node\0" + node, "sha256")

    def key_of_fleet(self) -> bytes:
        """Return the key that proves what only nodes with the token itself may ask for."""
        return hmac.digest(self.nodes_key, b"fleet", "sha256")


@dataclass(frozen=True, slots=True)
class Proof:
    """What a header says: who speaks, and the authentication code that has to be right."""

    node: NodeId
    code: bytes


class Prover(Protocol):
    """Proves requests to one server."""

    def header(self, path: str, body: bytes, *, certificate: bytes) -> str:
        """Return the header's value for a request; `certificate` is the SHA-256 of the server's, as DER."""


@dataclass(frozen=True, slots=True)
class NodeProver:
    """Proves a node's announces and reports, with a key that is good for nothing else."""

    node: NodeId
    key: bytes = field(repr=False)

    def header(self, path: str, body: bytes, *, certificate: bytes) -> str:
        """Return the header's value for a request."""
        return f"{self.node.hex()}:{_code(self.key, path, body, certificate).hex()}"


@dataclass(frozen=True, slots=True)
class FleetProver:
    """Proves, with the token itself, a request for what the token protects."""

    token: FleetToken
    node: NodeId

    def header(self, path: str, body: bytes, *, certificate: bytes) -> str:
        """Return the header's value for a request."""
        return f"{self.node.hex()}:{_code(self.token.key_of_fleet(), path, body, certificate).hex()}"


def _code(key: bytes, path: str, body: bytes, certificate: bytes) -> bytes:
    parts = (b"swarmboot proof 1", certificate, path.encode(), body)
    return hmac.digest(key, b"".join(len(part).to_bytes(8, "big") + part for part in parts), "sha256")


def parse_proof(header: str) -> Proof | None:
    """Return what a header's value says, or None if it is no proof by its form alone."""
    match = _HEADER.match(header)
    return Proof(NodeId(bytes.fromhex(match[1])), bytes.fromhex(match[2])) if match else None


def is_proved_by_node(
    tokens: Iterable[FleetToken], proof: Proof, path: str, body: bytes, *, certificate: bytes
) -> bool:
    """Return whether one of the tokens vouches for an announce or a report of the node that the proof names."""
    return _is_right((token.key_of(proof.node) for token in tokens), proof, path, body, certificate)


def is_proved_by_fleet(
    tokens: Iterable[FleetToken], proof: Proof, path: str, body: bytes, *, certificate: bytes
) -> bool:
    """Return whether the request was made by somebody who holds one of the tokens."""
    return _is_right((token.key_of_fleet() for token in tokens), proof, path, body, certificate)


def _is_right(keys: Iterable[bytes], proof: Proof, path: str, body: bytes, certificate: bytes) -> bool:
    """Return whether one of the keys gives the proof's code; takes as long whichever it is."""
    found = [hmac.compare_digest(_code(key, path, body, certificate), proof.code) for key in keys]
    return any(found)


def certificate_digest(der: bytes) -> bytes:
    """Return what a proof names a server's certificate by."""
    return hashlib.sha256(der).digest()


def seal(tokens: Sequence[FleetToken], env: Mapping[str, str], *, fleet: str, profile: str) -> bytes:
    """Return settings sealed for the holders of each of these tokens; the same settings give the same bytes.

    `fleet` and `profile` are bound to them: opened as another's they are refused. Raises ReleaseError if they are
    more than MAX_SECRETS or SECRETS_MAX_BYTES.
    """
    text = pack(dict(env))
    if len(text) > SECRETS_MAX_BYTES or len(env) > MAX_SECRETS:
        expected = f"at most {MAX_SECRETS}, of {SECRETS_MAX_BYTES} bytes"
        raise ReleaseError(
            "the secret settings are too large", expected=expected, found=f"{len(env)}, {len(text)} bytes"
        )
    context = pack([fleet, profile])
    return pack({token.name: _sealed(token, text, context) for token in tokens})


def seal_files(tokens: Sequence[FleetToken], files: bytes, *, fleet: str, layer: str) -> bytes:
    """Return a layer's secret files, packed, sealed for the holders of each of these tokens.

    Raises ReleaseError if they are larger than SECRET_FILES_MAX_BYTES. No profile has a blank in its name, so nothing
    that is sealed for a layer can be opened as settings, nor the other way round.
    """
    if len(files) > SECRET_FILES_MAX_BYTES:
        raise ReleaseError(
            f"the secret files of {layer} are too large",
            expected=f"at most {SECRET_FILES_MAX_BYTES} bytes",
            found=str(len(files)),
        )
    text = base64.b64encode(files).decode()
    return seal(tokens, {_FILES: text}, fleet=fleet, profile=_context(layer))


def unseal_files(tokens: Iterable[FleetToken], sealed: bytes, *, fleet: str, layer: str) -> bytes:
    """Return what `seal_files` was given; raises TokenError as `unseal` does."""
    found = unseal(tokens, sealed, fleet=fleet, profile=_context(layer))
    return base64.b64decode(found.get(_FILES, ""))


def _context(layer: str) -> str:
    return f"nodes {layer}"


def _sealed(token: FleetToken, text: bytes, context: bytes) -> bytes:
    siv = hmac.digest(token.siv_key, len(context).to_bytes(8, "big") + context + text, "sha256")
    return siv + _cipher(token, siv).encrypt(_NONCE, text, context)


def _cipher(token: FleetToken, siv: bytes) -> ChaCha20Poly1305:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(hmac.digest(token.seal_key, siv, "sha256"))


def unseal(tokens: Iterable[FleetToken], sealed: bytes, *, fleet: str, profile: str) -> dict[str, str]:
    """Return the settings in sealed bytes.

    Raises TokenError if they are sealed for other tokens, for another fleet or profile, or have been altered.
    """
    from cryptography.exceptions import InvalidTag

    hint = "bake the fleet's present token, or publish with this node's: swarmboot publish --fleet-token FILE"
    context = pack([fleet, profile])
    try:
        parts = Fields({"parts": unpack(sealed, max_bytes=SEALED_MAX_BYTES)}, "secrets").raw_map(
            "parts", most=MAX_TOKENS, each=SEALED_MAX_BYTES
        )
        token = next((token for token in tokens if token.name in parts), None)
        if token is None:
            raise TokenError("the release's secret settings are sealed for another fleet token", hint=hint)
        siv, rest = parts[token.name][:_SIV_BYTES], parts[token.name][_SIV_BYTES:]
        text: bytes = _cipher(token, siv).decrypt(_NONCE, rest, context)
        return Fields({"env": unpack(text, max_bytes=SECRETS_MAX_BYTES)}, "secrets").text_map(
            "env", most=MAX_SECRETS, each=SECRETS_MAX_BYTES
        )
    except (InvalidTag, DecodeError, ValueError) as error:
        raise TokenError("the release's secret settings cannot be opened: they have been altered", hint=hint) from error


def parse_tokens(text: str, *, where: str) -> tuple[FleetToken, ...]:
    """Return the tokens in a file's text, in its order; raise KeyFileError naming `where` and the line, never its text.

    A node proves with the first; a seeder accepts each of them, and secrets are sealed for each.
    """
    tokens: list[FleetToken] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        secret = _secret(words)
        if secret is None:
            raise KeyFileError(f"{where}, line {number}, is no fleet token", expected=f"`{_LABEL} BASE64`", hint=_HINT)
        if secret == EXAMPLE or len(set(secret)) < _FEWEST_VALUES:
            raise KeyFileError(
                f"{where}, line {number}, is a token that everybody knows", expected="32 random bytes", hint=_HINT
            )
        tokens.append(FleetToken(secret))
    if not 1 <= len(tokens) <= MAX_TOKENS or len({token.name for token in tokens}) != len(tokens):
        raise KeyFileError(
            f"{where} holds no usable set of fleet tokens",
            expected=f"from 1 to {MAX_TOKENS} different ones, a line each",
            found=str(len(tokens)),
            hint=_HINT,
        )
    return tuple(tokens)


def _secret(words: list[str]) -> bytes | None:
    if len(words) != 2 or words[0] != _LABEL:
        return None
    try:
        secret = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    return secret if len(secret) == TOKEN_BYTES else None


def format_token(secret: bytes) -> str:
    """Return a token as a line of its file."""
    return f"{_LABEL} {base64.b64encode(secret).decode()}\n"


def read_tokens(path: Path) -> tuple[FleetToken, ...]:
    """Return the tokens in a file; raise KeyFileError if it holds none, or if others may read it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_FILE_MAX_BYTES + 1)
    except OSError as error:
        hint = "run it as the user whose file it is" if isinstance(error, PermissionError) else _HINT
        raise KeyFileError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    if mode & (0o037 if is_credential(path) else 0o077):
        raise KeyFileError(f"others may read {path}", expected="mode 0600", hint=f"run: chmod 600 {path}")
    if len(data) > _FILE_MAX_BYTES:
        raise KeyFileError(f"{path} is no fleet token", expected=f"at most {_FILE_MAX_BYTES} bytes", hint=_HINT)
    return parse_tokens(data.decode("ascii", errors="replace"), where=str(path))


def is_credential(path: Path) -> bool:
    """Return whether systemd gave the file to this service: by an access list, which shows as a group's rights."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.parent == Path(folder or "/")


def write_token(path: Path) -> None:
    """Make a token in a new file of mode 0600; raise KeyFileError if it is there already or cannot be written."""
    from swarmboot.release.key_files import write_new

    write_new(path, format_token(os.urandom(TOKEN_BYTES)).encode(), mode=0o600)


def encode_credentials(node: NodeId, boot_key: bytes, token: FleetToken) -> str:
    """Return what one node's neighbour needs to announce, without the token: a line of hexadecimal digits."""
    return f"{node.hex()} {boot_key.hex()} {token.key_of(node).hex()}\n"


def decode_credentials(text: str) -> tuple[NodeId, bytes, NodeProver] | None:
    """Return node id, boot key and prover of such a line; None if it is none."""
    match = re.fullmatch(r"([0-9a-f]{32}) ([0-9a-f]{32}) ([0-9a-f]{64})\n", text)
    if match is None:
        return None
    node = NodeId(bytes.fromhex(match[1]))
    return node, bytes.fromhex(match[2]), NodeProver(node, bytes.fromhex(match[3]))
