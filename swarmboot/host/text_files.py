"""Text files that people write: small, UTF-8, and refused in one line otherwise."""

from __future__ import annotations

from pathlib import Path

from swarmboot.errors import ReleaseError, UnreadableError

_TEXT_MAX_BYTES = 1 << 20


def read_text(path: Path, *, label: str) -> str:
    """Return what a person wrote into a file, without a byte order mark; raise UnreadableError or ReleaseError."""
    try:
        with path.open("rb") as file:
            data = file.read(_TEXT_MAX_BYTES + 1)
    except OSError as error:
        hint = "check the path, its mode and its owner"
        raise UnreadableError(f"{label} cannot be read: {error.strerror}", hint=hint) from error
    if len(data) > _TEXT_MAX_BYTES:
        raise ReleaseError(f"{label} is too large for a text file", expected=f"at most {_TEXT_MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReleaseError(f"{label} is no text", expected="UTF-8", found=f"other bytes at {error.start}") from error
