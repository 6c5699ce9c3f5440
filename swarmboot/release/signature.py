"""Whether a signature is good, for whoever asks; where that is found out can be chosen.

cryptography is imported with the first question: in Debian 12 it brings most of OpenSSL's names with it, 3.4 MB, for
three signatures of a boot. A program that lives on after its boot has another process find out
(`leecher.initramfs.signature_process`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Check = Callable[[bytes, bytes, bytes], bool]
"""Takes a raw Ed25519 public key, a signature and what is signed."""


def is_good_here(public: bytes, signature: bytes, signed: bytes) -> bool:
    """Return whether `signature` is the key's over `signed` (RFC 8032), as found out in this process."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)
    except InvalidSignature:
        return False
    return True


_checks: list[Check] = [is_good_here]


def is_good(public: bytes, signature: bytes, signed: bytes) -> bool:
    """Return whether `signature` is the key's over `signed`, as the last check that was chosen says."""
    return _checks[-1](public, signature, signed)


@contextmanager
def checked_by(check: Check) -> Iterator[None]:
    """Have `check` find out, in all threads, while the context is open."""
    _checks.append(check)
    try:
        yield
    finally:
        _checks.remove(check)
