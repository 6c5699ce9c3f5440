"""The names that nodes may use for this server: addresses and host names, as a certificate holds them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from swarmboot.errors import MalformedSettingError
from swarmboot.text.addresses import read_host

_SHOWN_MAX = 80


def read_name(text: str) -> str:
    """Return a `--name` as a certificate holds it, `*.` before a host's name included.

    Raises MalformedSettingError, which says what to give, for a URL, a port, brackets or letters outside ASCII.
    """
    try:
        wildcard = "*." if text.startswith("*.") else ""
        return wildcard + read_host(text.removeprefix(wildcard))
    except ValueError as error:
        meant = _meant(text)
        raise MalformedSettingError(
            "--name is no host",
            expected="a host's name or an address, and nothing else",
            found=repr(text)[:_SHOWN_MAX],
            hint=f"give --name {meant}" if meant else "as in boot.example or 10.0.0.1",
        ) from error


def usable_names(names: Iterable[str]) -> list[str]:
    """Return those of this machine's own names that a certificate can hold."""
    return [name for name in names if _read(name)]


def _meant(text: str) -> str:
    """Return the host that a text seems to be about: that of a URL or `HOST:PORT`, in ASCII (RFC 3490); or nothing."""
    try:
        host = urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""
    try:
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    return _read(host)


def _read(host: str) -> str:
    try:
        return read_host(host)
    except ValueError:
        return ""
