"""Network addresses as text: read strictly, written in one way, and which of them may be dialled.

An address is one of IPv4 or IPv6 and never a name, so reading one looks nothing up. An IPv4 address in an IPv6 one
(RFC 4291 section 2.5.5.2) is the IPv4 address. A scope (RFC 4007 section 11) means something on one machine only, so no
address that is told to others has one. Pure: it opens no socket.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

from swarmboot.errors import MalformedSettingError

_LONGEST = 45
_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?\Z"
)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~+-]+)*/*\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")
_SCOPED = re.compile(r"([0-9a-fA-F:]+)%[A-Za-z0-9._-]{1,15}\Z")


@lru_cache(maxsize=4096)
def read_address(text: str) -> str:
    """Return an IP address as it is written canonically (RFC 5952); raise ValueError for anything else, scopes too."""
    if len(text) > _LONGEST or "%" in text:
        raise ValueError("not an IP address without a scope")
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


@lru_cache(maxsize=4096)
def connection_address(text: str) -> str:
    """Return the address at the other end of a connection, its scope left out; nothing if it has none."""
    scoped = _SCOPED.match(text)
    try:
        return read_address(scoped[1] if scoped else text)
    except ValueError:
        return ""


@lru_cache(maxsize=4096)
def is_dialable(address: str, *, is_here: bool = False) -> bool:
    """Return whether a node may be told to dial a canonical address that somebody else has.

    Loopback addresses are only where all of it `is_here`, on one machine. Never those that name no machine (RFC 6890:
    multicast, broadcast, unspecified, reserved) and link-local ones of IPv6, which need a scope.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if parsed.is_loopback:
        return is_here
    if parsed.version == 6 and parsed.is_link_local:
        return False
    is_this_network = parsed.version == 4 and int(parsed) >> 24 == 0
    return not (parsed.is_multicast or parsed.is_unspecified or parsed.is_reserved or is_this_network)


def is_loopback(host: str) -> bool:
    """Return whether a host, an address or a name, is this machine's loopback interface."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def counted_as(host: str) -> str:
    """Return what an address is counted under: an IPv4 address itself, of an IPv6 address its first 64 bits."""
    if ":" not in host or host.startswith("::ffff:"):
        return host
    before, gap, after = host.partition("%")[0].partition("::")
    head, tail = before.split(":") if before else [], after.split(":") if after else []
    zeros = ["0"] * (8 - len(head) - len(tail)) if gap else []
    return ":".join([*head, *zeros, *tail][:4])


def is_ipv6(host: str) -> bool:
    """Return whether a host is written as an IPv6 address."""
    return ":" in host


def shown(host: str) -> str:
    """Return a host as it stands in a URL: an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if is_ipv6(host) else host


def host_port(host: str, port: int) -> str:
    """Return `HOST:PORT`, as in `10.0.0.7:8471` and `[fd00::7]:8471`."""
    return f"{shown(host)}:{port}"


def http_url(host: str, port: int) -> str:
    """Return a host's address over HTTP, as in `http://10.0.0.7:8471`; without the port where it is HTTP's own."""
    return f"http://{shown(host)}" if port == 80 else f"http://{host_port(host, port)}"


def split_host_port(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, an IPv6 address in brackets; the host may be empty.

    Raises ValueError for anything but an address or a name, and a port from 0 to 65535.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.match(port) or int(port) > 65535:
        raise ValueError("not HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    return (read_host(host) if host else ""), int(port)


def read_host(text: str) -> str:
    """Return a canonical address or a host name (RFC 1123 section 2.1, underscores too); raise ValueError otherwise."""
    try:
        return read_address(text)
    except ValueError:
        is_number = text.replace(".", "").isdigit()  # as in 10.0.0.256, which no resolver may be asked for
        if is_number or not _NAME.match(text):
            raise ValueError("neither an address nor a host's name") from None
    return text


def read_server(text: str) -> str:
    """Return the URL of a server or a mirror without a slash at its end, `https://HOST[:PORT][/PATH]` or http.

    Raises MalformedSettingError for anything else: no user, query, fragment, escape or white space.
    """
    refusal = MalformedSettingError("not a server's address", expected="https://HOST:PORT", found=repr(text)[:80])
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        named = host_port(host, port) if port is not None else shown(host)
        is_right = parts.scheme in ("https", "http") and port != 0 and parts.netloc.lower() == named
        read_host(host)
    except ValueError as error:
        raise refusal from error
    if not is_right or not _PATH.match(parts.path) or text != f"{parts.scheme}://{parts.netloc}{parts.path}":
        raise refusal
    return text.rstrip("/")
