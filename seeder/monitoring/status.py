"""Who may read what the seeder says of itself, and what that is.

A status page tells how many nodes there are and what they do. It is for whoever runs this machine: anybody else on the
network learns that a seeder is here, no more.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from swarmboot.errors import MalformedSettingError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

STRANGERS = {"swarmboot": "ok"}
"""What anybody may know: enough for a check that the service is up."""


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return networks in CIDR form, or single addresses; raise MalformedSettingError for anything else."""
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            expected = "a network or an address, as in 10.0.0.0/24"
            raise MalformedSettingError("--status-from is malformed", expected=expected, found=repr(text)) from error
    return tuple(networks)


def may_read_status(client: str, own: str, networks: tuple[Network, ...] = ()) -> bool:
    """Return whether a client's address may read everything: this machine's, or one of `networks`.

    `own` is the address that was asked at; no other machine has a TCP connection from it.
    """
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or client == own or any(address in network for network in networks)
