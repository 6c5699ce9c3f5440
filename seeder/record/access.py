"""The token that lets somebody read the fleet's state from elsewhere: a file, and a request's `Authorization: Bearer`.

RFC 6750, section 2.1. Compared in constant time, and never said in a log.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from swarmboot.errors import KeyFileError

TOKEN_MIN, TOKEN_MAX = 16, 512
_HINT = "make one: (umask 077; openssl rand -hex 32 >ui.token)"


def read_ui_token(path: Path) -> bytes:
    """Return the digest of the token in a file; raise KeyFileError without one of a fair length on its first line."""
    try:
        text = path.read_bytes()[: 2 * TOKEN_MAX].decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        found = error.strerror or "" if isinstance(error, OSError) else "other bytes than ASCII"
        raise KeyFileError(f"the token {path} cannot be read", found=found, hint=_HINT) from error
    token = text.split("\n", 1)[0].strip()
    if not TOKEN_MIN <= len(token) <= TOKEN_MAX or not token.isprintable() or " " in token:
        expected = f"{TOKEN_MIN} to {TOKEN_MAX} printable characters without a space on the first line"
        raise KeyFileError(f"the token {path} cannot be used", expected=expected, hint=_HINT)
    return _digest(token.encode())


def is_bearer(header: str, token: bytes) -> bool:
    """Return whether an `Authorization` header brings the token with this digest; an empty digest is nobody's."""
    scheme, _, given = header.partition(" ")
    is_right = hmac.compare_digest(_digest(given.strip().encode("utf-8", "surrogateescape")), token or bytes(32))
    return is_right and scheme.lower() == "bearer" and bool(token)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
