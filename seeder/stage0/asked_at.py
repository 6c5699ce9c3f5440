"""Where machines know this server: the address that they asked at, as far as it can be believed. Pure.

Behind a proxy, NAT or a published port the socket's own address is one that no machine reaches, and only the machine
itself says which one it used (`Host`, RFC 9110, section 7.2). It says so in its own request, for its own script, and
what is taken is an address or a host's name with a port, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from seeder.boot_script.grammar import Source
from swarmboot.text.addresses import host_port, read_host, split_host_port


def asked_at(host_header: str, own: Source, *, default_port: int) -> Source:
    """Return the server that a request was made to; the socket's own address if the header is no host and port.

    `default_port` counts where the header names none, unless the host is the socket's own. GRUB may name none although
    it used one: it writes it, and the next line over it (grub-core/net/http.c, http_establish).
    """
    is_bracketed = host_header.startswith("[") and host_header.endswith("]")
    try:
        host = read_host(host_header[1:-1] if is_bracketed else host_header)
        return Source(host, own.port if host == own.host else default_port)
    except ValueError:
        pass
    try:
        host, port = split_host_port(host_header)
        return Source(read_host(host), port)
    except ValueError:
        return own


def server_url(asked: str, own: str, port: int, *, is_covered: Callable[[str], bool]) -> tuple[str, bool]:
    """Return the seeder's address for a node whose firmware asked at host `asked`, and whether TLS will accept it.

    A name that the certificate does not have is not passed on: the socket's `own` address has served so far. An
    address always is: if it is not this machine's own, there is no other way to it.
    """
    is_right = is_covered(asked)
    host = asked if is_right or _is_address(asked) else own
    return f"https://{host_port(host, port)}", is_right


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
