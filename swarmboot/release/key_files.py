"""Key files on disk: a signing key in PKCS #8 PEM (RFC 8410), readable by its owner only; its public half as a line.

The only module that writes a secret: a private key with `write_pair`, a fleet token with `write_new`. It will not
overwrite anything. What only signers need is imported where they need it, because nodes read their trust files here in
the first moments of a boot.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from swarmboot.errors import KeyFileError, SpaceError, SwarmbootError
from swarmboot.release.trust import KeySet, format_public, key_set, parse_public, public_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE_NAME = "swarmboot.key"
PUBLIC_NAME = "swarmboot.pub"


def write_pair(folder: Path) -> tuple[Path, Path]:
    """Make a key pair in `folder` and return the paths of its private (mode 0600) and public halves.

    Raises KeyFileError if either file is there already, SpaceError if the disk is full; half a pair is not left.
    """
    private, public = folder / PRIVATE_NAME, folder / PUBLIC_NAME
    for path in (private, public):
        if path.exists():
            raise KeyFileError(f"{path} is there already", hint="keep it, or choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise KeyFileError(f"{folder} cannot be made: {error.strerror}", hint="choose another folder") from error
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    write_new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    try:
        write_new(public, format_public([public_bytes(key)]).encode(), mode=0o644)
    except SwarmbootError:
        private.unlink()
        raise
    return private, public


def write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Write and flush a new file of this mode; raise KeyFileError if it is there already or cannot be written.

    A full disk is a SpaceError. Nothing is left of the file then.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise KeyFileError(f"{path} is there already", hint="keep it, or choose another folder") from error
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink()
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> SwarmbootError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpaceError(f"{path} cannot be written: {error.strerror}", hint="free some space and run it again")
    return KeyFileError(f"{path} cannot be written: {error.strerror}", hint="choose another folder")


def read_private(path: Path) -> Ed25519PrivateKey:
    """Return the signing key in a file; raise KeyFileError if it is not one, or if others may read it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(path, hint="give the .key file that `swarmboot keygen` makes")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"{path} is no signing key",
            expected="an unencrypted Ed25519 key in PEM",
            found="a public key" if data.startswith(b"swarmboot-ed25519") else "something else",
            hint="give the .key file that `swarmboot keygen` made",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} is no signing key", expected="an Ed25519 key", found=type(key).__name__)
    if path.stat().st_mode & 0o077:
        raise KeyFileError(f"others may read {path}", expected="mode 0600", hint=f"run: chmod 600 {path}")
    return key


def read_trust(paths: list[Path] | tuple[Path, ...]) -> KeySet:
    """Return the key set in these public key files together; raise KeyFileError naming the file and line."""
    if not paths:
        raise KeyFileError("no public key was given", hint="give --trust FILE")
    sets = [parse_public(_text(path), where=str(path)) for path in paths]
    publics = [public for keys in sets for public in keys.keys.values()]
    return key_set(publics, threshold=max(keys.threshold for keys in sets))


def _text(path: Path) -> str:
    try:
        return _read(path, hint="give the .pub file that `swarmboot keygen` made").decode()
    except UnicodeDecodeError as error:
        raise KeyFileError(f"{path} is no public key file", expected="text", found="binary data") from error


def _read(path: Path, *, hint: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1 << 16)
    except PermissionError as error:
        whose = "run it as the user whose file it is"
        raise KeyFileError(f"{path} cannot be read: {error.strerror}", hint=whose) from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
