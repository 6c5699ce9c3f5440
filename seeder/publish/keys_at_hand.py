"""The signing keys that a publisher has here: those that were named, or the user's own."""

from __future__ import annotations

from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swarmboot.errors import KeyFileError
from swarmboot.host.home import user_folder
from swarmboot.release import key_files
from swarmboot.release.layout import manifest_numbers
from swarmboot.release.trust import KeySet

_GIVE = "give the key it was published with"


def known_keys(paths: tuple[Path, ...], site: Path, *, is_check: bool = False) -> list[Ed25519PrivateKey]:
    """Return the keys given, else the user's own, none if that is still to be made.

    Raises KeyFileError where the site was published with a key that is not here; who only checks is told so.
    """
    if not paths:
        private = own_key()
        if not private.exists() and manifest_numbers(site):
            if is_check:
                click.echo(
                    f"note: no signing key is here, so whose keys nodes trust was not looked at: {_GIVE}", err=True
                )
                return []
            raise KeyFileError(
                f"no signing key is configured, and {site} was published with one",
                expected=f"--key FILE, SWARMBOOT_KEY or {private}",
                hint=_GIVE,
            )
        paths = (private,) if private.exists() else ()
    for path in paths:
        if path.resolve().is_relative_to(site.resolve()):
            raise KeyFileError(f"{path} lies in the site, which is public", hint="move it elsewhere, and replace it")
    return [key_files.read_private(path) for path in paths]


def own_key() -> Path:
    """Return where the user's own signing key is, or will be."""
    return user_folder("XDG_CONFIG_HOME", ".config", option="--key FILE") / "swarmboot" / key_files.PRIVATE_NAME


def trusted_keys(paths: tuple[Path, ...], site: Path) -> KeySet:
    """Return the public keys in the files given, else the user's own; raise KeyFileError if there are none."""
    if not paths:
        own = own_key().with_name(key_files.PUBLIC_NAME)
        if not own.exists():
            raise KeyFileError(
                f"there is no public key to check {site} with", expected=f"--trust PUB or {own}", found="neither",
                hint="give the keys that nodes are built with",
            )  # fmt: skip
        paths = (own,)
    return key_files.read_trust(paths)


def make_key(*, is_quiet: bool, is_kept: bool = True) -> Ed25519PrivateKey:
    """Make the user's own signing key, and say so; one that is not kept is nobody's, for what is not kept either."""
    if not is_kept:
        return Ed25519PrivateKey.generate()
    private, public = key_files.write_pair(own_key().parent)
    click.echo(f"made a signing key, {private}; its public half, for the nodes, is {public}", err=is_quiet)
    return key_files.read_private(private)


def signing_keys(paths: tuple[Path, ...], site: Path, *, is_quiet: bool) -> list[Ed25519PrivateKey]:
    """Return the keys given, else the user's own, made now if this is the first time."""
    return known_keys(paths, site) or [make_key(is_quiet=is_quiet)]
