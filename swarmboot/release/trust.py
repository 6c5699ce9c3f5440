"""Who may say what a node boots: keys, thresholds, key rotation. How new it must be: `swarmboot.release.freshness`.

An envelope is exact bytes with signatures over them; it is verified before its payload is looked at. What is signed is
the envelope's kind, a zero byte and the payload, so that a signature on one kind of document is worthless on another.
A node starts from a key set built into its initramfs, follows key sets that the threshold of the set before (and of
the new one) has signed, and then needs the threshold of the last for a channel or a manifest. Follows The Update
Framework, specification 1.0.33, sections 5.3.4 (rotation) and 6.1 (key ids).

It will not read a clock or a file, and it will not fetch anything.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from swarmboot.codec import DecodeError, Fields, pack, unpack
from swarmboot.errors import (
    KeyFileError,
    ManifestError,
    SignatureError,
    ThresholdError,
)
from swarmboot.ids import KEY_ID_BYTES, MAX_SEQUENCE, KeyId, Sequence
from swarmboot.release.manifest import MANIFEST_MAX_BYTES
from swarmboot.release.points import fault_of
from swarmboot.release.signature import is_good

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ENVELOPE_MAX_BYTES = MANIFEST_MAX_BYTES + (1 << 16)
CHANNEL_MAX_BYTES = 1 << 20
MAX_KEYS = 32
MAX_ROTATIONS = 64
MAX_KEYS_VERSION = 10**9 - 1
_PUBLIC_LABEL = "swarmboot-ed25519"

# Public keys whose private halves are printed in RFC 8032 section 7.1: good for test vectors, never for a fleet.
_PUBLISHED_KEYS = frozenset(
    bytes.fromhex(key)
    for key in (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
    )
)


class Kind(StrEnum):
    """What an envelope holds; part of what is signed."""

    MANIFEST = "manifest"
    CHANNEL = "channel"
    KEYS = "keys"
    CANARY = "canary"


_WORDS = {Kind.MANIFEST: "manifest", Kind.CHANNEL: "channel", Kind.KEYS: "key set", Kind.CANARY: "canary"}


@dataclass(frozen=True, slots=True)
class Envelope:
    """Exact bytes, and signatures over them by key id."""

    kind: Kind
    payload: bytes
    signatures: Mapping[KeyId, bytes]


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys that may speak for a fleet, and how many must agree. Version 1 is the one nodes are built with."""

    version: int
    threshold: int
    keys: Mapping[KeyId, bytes]


@dataclass(frozen=True, slots=True)
class Channel:
    """A signed pointer from a name to one manifest; the digest is of the manifest file, its signatures included.

    `expires_unix_s` is until when it may be taken for the newest, 0 for as long as its manifest may be booted.
    """

    fleet: str
    name: str
    sequence: Sequence
    manifest_sha256: bytes
    expires_unix_s: int = 0


class Opened(NamedTuple):
    """A channel pointer as verified, the key set that signed it, and the rotations from the trusted keys to that."""

    keys: KeySet
    channel: Channel
    rotations: int


def key_id(public: bytes) -> KeyId:
    """Return the id of a raw Ed25519 public key."""
    return KeyId(hashlib.sha256(public).digest()[:KEY_ID_BYTES])


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """Return the raw 32 bytes of the key's public half."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # only signers pay for it

    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(kind: Kind, payload: bytes, keys: Iterable[Ed25519PrivateKey]) -> bytes:
    """Return an envelope of `payload` signed by every key, as bytes."""
    signatures = {key_id(public_bytes(key)): key.sign(_signed(kind, payload)) for key in keys}
    return pack({"kind": kind.value, "payload": payload, "signatures": signatures})


def _signed(kind: Kind, payload: bytes) -> bytes:
    return b"swarmboot " + kind.value.encode() + b"\0" + payload


def open_envelope(data: bytes, kind: Kind) -> Envelope:
    """Return the envelope in `data` without believing it; raise ManifestError if it is not one of `kind`."""
    try:
        fields = Fields(unpack(data, max_bytes=ENVELOPE_MAX_BYTES), "envelope")
        fields.check_critical(frozenset())
        found = fields.text("kind", most=16)
        if found != kind:
            raise DecodeError(f"a signed {found}, not a signed {kind}")
        payload = fields.raw("payload", most=MANIFEST_MAX_BYTES)
        signatures = fields.raw_map("signatures", most=MAX_KEYS, each=KEY_ID_BYTES + 64)
    except DecodeError as error:
        raise ManifestError(
            f"not a signed {_WORDS[kind]}: {error}", hint="check that the address is a swarmboot site"
        ) from error
    return Envelope(kind, payload, {KeyId(name): signature for name, signature in signatures.items()})


def verify(data: bytes, kind: Kind, trusted: KeySet) -> bytes:
    """Return the payload once the threshold of `trusted` keys has signed it.

    Only good signatures count, and a bad one beside enough of them does no harm (TUF 1.0.33, section 5.3.4). Raises
    ManifestError for what is no envelope; where too few are good, SignatureError if a trusted key's signature does not
    match the bytes, else ThresholdError.
    """
    envelope = open_envelope(data, kind)
    given = [name for name in trusted.keys if name in envelope.signatures]
    bad = [name for name in given if not _is_good(envelope, name, trusted.keys[name])]
    good = len(given) - len(bad)
    if good >= trusted.threshold:
        return envelope.payload
    if bad:
        raise SignatureError(
            f"the {_WORDS[kind]}'s signature by key {bad[0].hex()[:16]} is not over these bytes",
            expected="the bytes that were signed",
            found=f"{len(envelope.payload)} other bytes",
            hint="publish again, and suspect whatever altered it",
        )
    raise ThresholdError(
        f"the {_WORDS[kind]} is not signed by enough trusted keys",
        expected=f"{trusted.threshold} of {', '.join(sorted(name.hex()[:16] for name in trusted.keys))}",
        found=f"{good}, signed by {', '.join(sorted(name.hex()[:16] for name in envelope.signatures)) or 'nobody'}",
        hint="publish with the fleet's keys, or give the node the right public key",
    )


def _is_good(envelope: Envelope, name: KeyId, public: bytes) -> bool:
    return is_good(public, envelope.signatures[name], _signed(envelope.kind, envelope.payload))


def encode_key_set(keys: KeySet) -> bytes:
    """Return the key set's canonical bytes: what a rotation signs."""
    return pack({"version": keys.version, "threshold": keys.threshold, "keys": list(keys.keys.values())})


def decode_key_set(payload: bytes) -> KeySet:
    """Return the key set in these verified bytes; raise ManifestError if it is malformed."""
    try:
        fields = Fields(unpack(payload, max_bytes=1 << 14), "keys")
        fields.check_critical(frozenset())
        publics = fields.items("keys", most=MAX_KEYS)
        if not all(isinstance(public, bytes) and len(public) == 32 for public in publics):
            raise DecodeError("a key is not 32 bytes")
        if len(set(publics)) != len(publics):
            raise DecodeError("a key stands in it twice")
        version = fields.integer("version", least=1, most=MAX_KEYS_VERSION)
        threshold = fields.integer("threshold", least=1, most=MAX_KEYS)
        return key_set(publics, threshold=threshold, version=version)
    except (DecodeError, KeyFileError) as error:
        raise ManifestError(f"the signed key set cannot be used: {error}") from error


def key_set(publics: Iterable[bytes], *, threshold: int = 1, version: int = 1) -> KeySet:
    """Return a key set of raw public keys.

    Raises KeyFileError if it cannot be met, or holds a published test key or what is no key that one signer alone has.
    """
    keys = {key_id(public): public for public in publics}
    if len(keys) > MAX_KEYS:
        raise KeyFileError("there are too many public keys", expected=f"at most {MAX_KEYS}", found=str(len(keys)))
    for public in keys.values():
        if fault := fault_of(public):
            raise KeyFileError(
                f"the public key {base64.b64encode(public).decode()} {fault}", hint="make a key with `swarmboot keygen`"
            )
    if any(public in _PUBLISHED_KEYS for public in keys.values()):
        raise KeyFileError(
            "a trusted key's private half is printed in RFC 8032", hint="make a key with `swarmboot keygen`"
        )
    if not 1 <= threshold <= len(keys):
        raise KeyFileError(
            "the threshold cannot be met",
            expected=f"from 1 to {len(keys)}, the number of keys",
            found=str(threshold),
            hint="correct the threshold line of the public key file",
        )
    return KeySet(version, threshold, keys)


def follow(trusted: KeySet, rotations: Iterable[bytes]) -> KeySet:
    """Return the key set reached from `trusted` through signed rotations, in order; older versions are passed over.

    A node built with the keys of a later rotation starts from that one. Raises ManifestError if a version is missing,
    and as `verify` does if a rotation is not signed by the threshold of the set before it and of its own.
    """
    return _follow(trusted, rotations)[0]


def _follow(trusted: KeySet, rotations: Iterable[bytes]) -> tuple[KeySet, int]:
    """Return the key set reached, and through how many rotations."""
    chain = [(data, decode_key_set(open_envelope(data, Kind.KEYS).payload)) for data in rotations]
    if len(chain) > MAX_ROTATIONS:
        raise ManifestError("more key rotations than can be followed", expected=f"at most {MAX_ROTATIONS}")
    for data, claimed in chain:
        if (claimed.keys, claimed.threshold) == (trusted.keys, trusted.threshold):
            verify(data, Kind.KEYS, trusted)
            trusted = claimed
    steps = 0
    for data, claimed in chain:
        if claimed.version <= trusted.version:
            continue
        if claimed.version != trusted.version + 1:
            raise ManifestError(
                "a key rotation is missing", expected=f"version {trusted.version + 1}", found=str(claimed.version)
            )
        verify(data, Kind.KEYS, trusted)
        verify(data, Kind.KEYS, claimed)
        trusted, steps = claimed, steps + 1
    return trusted, steps


def encode_channel(channel: Channel) -> bytes:
    """Return the channel pointer's canonical bytes."""
    value: dict[str, object] = {
        "fleet": channel.fleet,
        "name": channel.name,
        "sequence": channel.sequence,
        "manifest_sha256": channel.manifest_sha256,
    }
    return pack({**value, "expires": channel.expires_unix_s} if channel.expires_unix_s else value)


def decode_channel(payload: bytes) -> Channel:
    """Return the channel pointer in these verified bytes; raise ManifestError if it is malformed."""
    try:
        fields = Fields(unpack(payload, max_bytes=4096), "channel")
        fields.check_critical(frozenset())
        return Channel(
            fleet=fields.text("fleet"),
            name=fields.text("name"),
            sequence=Sequence(fields.integer("sequence", least=1, most=MAX_SEQUENCE)),
            manifest_sha256=fields.raw("manifest_sha256", exactly=32),
            expires_unix_s=fields.integer("expires", default=0),
        )
    except DecodeError as error:
        raise ManifestError(f"the signed channel cannot be used: {error}") from error


def format_public(publics: Iterable[bytes], *, threshold: int = 1) -> str:
    """Return the text of a public key file: a threshold line if it is not 1, then a line a key."""
    lines = [f"threshold {threshold}"] if threshold != 1 else []
    lines += [f"{_PUBLIC_LABEL} {base64.b64encode(public).decode()}" for public in publics]
    return "\n".join(lines) + "\n"


def parse_public(text: str, *, where: str) -> KeySet:
    """Return the key set in a public key file's text; several files may be concatenated, the last threshold counts.

    Raises KeyFileError naming `where` and the line.
    """
    publics: list[bytes] = []
    threshold = 1
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        public = _public_key(words)
        if public is not None:
            publics.append(public)
        elif match := re.fullmatch(r"threshold ([0-9]{1,2})", " ".join(words)):
            threshold = int(match[1])
        else:
            raise KeyFileError(
                f"{where}, line {number}, is no public key",
                expected=f"`{_PUBLIC_LABEL} BASE64` or `threshold N`",
                found=_shown(line),
                hint="give the .pub file that `swarmboot keygen` made",
            )
    if not publics:
        raise KeyFileError(f"{where} holds no public key", hint="give the .pub file that `swarmboot keygen` made")
    return key_set(publics, threshold=threshold)


def _public_key(words: list[str]) -> bytes | None:
    if len(words) < 2 or words[0] != _PUBLIC_LABEL:
        return None
    try:
        public = base64.b64decode(words[1], validate=True)
    except ValueError:  # binascii.Error is one; so is text that is not ASCII
        return None
    return public if len(public) == 32 else None


def _shown(line: str) -> str:
    """Return a line fit for a message: a private key given by mistake must not reach a log."""
    return "a private key" if "PRIVATE" in line else repr(line[:60])


def encode_channel_file(pointer: bytes, rotations: Iterable[bytes]) -> bytes:
    """Return what a site serves under a channel's name: the signed pointer, and the rotations that lead to its keys."""
    return pack({"pointer": pointer, "rotations": list(rotations)})


def split_channel_file(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the signed pointer and rotations in a channel file, unbelieved; raise ManifestError for anything else."""
    try:
        fields = Fields(unpack(data, max_bytes=CHANNEL_MAX_BYTES), "channel file")
        fields.check_critical(frozenset())
        pointer = fields.raw("pointer", most=1 << 16)
        rotations = fields.items("rotations", most=MAX_ROTATIONS)
        if not all(isinstance(rotation, bytes) for rotation in rotations):
            raise DecodeError("a rotation is not bytes")
    except DecodeError as error:
        hint = "check that the address is a swarmboot site"
        raise ManifestError(f"not a channel file: {error}", hint=hint) from error
    return pointer, tuple(rotations)


def open_channel_file(data: bytes, trusted: KeySet) -> Opened:
    """Return the key set reached from `trusted`, the channel pointer that it signed, and the rotations between.

    Raises ManifestError for what is no channel file, and as `follow` and `verify` do.
    """
    pointer, rotations = split_channel_file(data)
    keys, steps = _follow(trusted, rotations)
    return Opened(keys, decode_channel(verify(pointer, Kind.CHANNEL, keys)), steps)
