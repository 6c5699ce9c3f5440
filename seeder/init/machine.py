"""Reads what this machine says of its networks: interfaces with an address, and who is seen there. Judges nothing."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from seeder.init.choice import Card
from seeder.stage0.dhcp.dnsmasq_process import interface_address
from swarmboot.errors import MalformedSettingError

_ROUTES, _ARP = Path("/proc/self/net/route"), Path("/proc/self/net/arp")
_SIOCGIFFLAGS, _IFF_RUNNING, _SIOCGIFHWADDR, _ARPHRD_ETHER = 0x8913, 0x40, 0x8927, 1
_IS_COMPLETE = 0x2


def cards() -> list[Card]:
    """Return the Ethernet interfaces that have an IPv4 address (netdevice(7)), of this network namespace."""
    ways_out = {line.split()[0] for line in _lines(_ROUTES) if line.split()[1] == "00000000"}
    found = []
    for _, name in socket.if_nameindex():
        with suppress(OSError, MalformedSettingError):
            if _asked(name, _SIOCGIFHWADDR) == _ARPHRD_ETHER:
                has_link = bool(_asked(name, _SIOCGIFFLAGS) & _IFF_RUNNING)
                found.append(Card(name, interface_address(name), has_link, name in ways_out))
    return found


def _asked(interface: str, request: int) -> int:
    """Return the short number with which the kernel answers a request about an interface; raise OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe, request, struct.pack("16sH22x", interface.encode(), 0))
    return int(struct.unpack("16sH22x", answer)[1])


def seen(interface: str) -> set[ipaddress.IPv4Address]:
    """Return who is seen on an interface: whom the kernel has talked to of late, and routers (proc(5), net/arp)."""
    found = set()
    for line in _lines(_ARP):
        words = line.split()
        if len(words) == 6 and words[5] == interface and int(words[2], 16) & _IS_COMPLETE:
            found.add(ipaddress.IPv4Address(words[0]))
    for line in _lines(_ROUTES):
        words = line.split()
        if words[0] == interface and words[2] != "00000000":
            found.add(ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(words[2]), "little")))
    return found


def _lines(table: Path) -> Iterator[str]:
    """Yield the lines of one of the kernel's tables, without its heading."""
    with suppress(OSError):
        yield from table.read_text().splitlines()[1:]
