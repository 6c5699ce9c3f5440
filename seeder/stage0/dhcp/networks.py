"""The networks that an interface is in: its first address's, and those of the addresses added to it. Pure.

The kernel has a route for each (proc(5), /proc/PID/net/route): without a gateway, by this interface.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable

_GATEWAY = 0x2


def connected_networks(routes: str, interface: str) -> list[ipaddress.IPv4Network]:
    """Return the networks that are reached by an interface without a gateway, in the text of the kernel's routes."""
    found = []
    for line in routes.splitlines()[1:]:
        row = line.split()
        if len(row) < 8 or row[0] != interface or int(row[3], 16) & _GATEWAY:
            continue
        network, mask = (socket.inet_ntoa(struct.pack("=L", int(row[number], 16))) for number in (1, 7))
        if mask not in ("0.0.0.0", "255.255.255.255"):  # noqa: S104 - the route to everything
            found.append(ipaddress.IPv4Network(f"{network}/{mask}"))
    return found


def own_addresses(networks: Iterable[ipaddress.IPv4Network], local: Iterable[str]) -> list[ipaddress.IPv4Interface]:
    """Return which of this machine's addresses are in which of some networks; the first one of each network."""
    addresses = [ipaddress.IPv4Address(each) for each in local if ":" not in each]
    return [
        ipaddress.IPv4Interface((own, network.prefixlen))
        for network in networks
        if (own := next((each for each in addresses if each in network), None)) is not None
    ]
