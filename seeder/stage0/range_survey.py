"""Who stands in the DHCP range without a lease of this server's: asked once, before dnsmasq begins to give it out.

dnsmasq pings an address before it offers it for the first time and answers nobody else for those three seconds, six
machines in a row when a rack is switched on (its PING_WAIT and PING_CACHE_TIME). Where nobody stands in the range who
has no lease, that is waiting for nothing. A datagram to each address makes the kernel look for its owner (RFC 826);
who answered stands in the ARP table (proc(5), /proc/PID/net/arp), whether or not he answers pings.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from seeder.stage0.dnsmasq import DhcpPlan

_ARP_TABLE = Path("/proc/self/net/arp")
"""Not by way of /proc/net, which a service with `ProcSubset=pid` does not have (systemd.exec(5))."""

MOST = 4096
"""Of how many addresses it is asked; it takes a second for each 512, which is what the kernel's table has room for."""

_BATCH, _ANSWER_S, _SENT_MAX = 512, 1.1, 64
_DISCARD_PORT = 9
_IS_COMPLETE = 0x2
_Address = ipaddress.IPv4Address


def strangers_in_range(plan: DhcpPlan) -> tuple[_Address, ...] | None:
    """Return who answers in the range without a lease, which takes a second or more; None if that cannot be known."""
    given = plan.addresses
    if given is None or int(given.last) - int(given.first) >= MOST:
        return None
    lease_file = Path(plan.lease_file)
    leased = (
        leased_addresses(lease_file.read_text(errors="replace"), now_s=time.time()) if lease_file.exists() else set()
    )
    wanted = [each for each in map(_Address, range(int(given.first), int(given.last) + 1)) if each not in leased]
    found: set[_Address] = set()
    for first in range(0, len(wanted), _BATCH):
        batch = [each for each in wanted[first : first + _BATCH] if each != plan.address.ip]
        try:
            _look_for(plan.interface, batch)
            time.sleep(_ANSWER_S)
            found |= owned_addresses(_ARP_TABLE.read_text(), plan.interface) & set(batch)
        except OSError:
            return None
    return tuple(sorted(found))


def _look_for(interface: str, addresses: Sequence[_Address]) -> None:
    """Send to each address; raises OSError. What nobody takes stays on its socket's account: no socket sends much."""
    for first in range(0, len(addresses), _SENT_MAX):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            for address in addresses[first : first + _SENT_MAX]:
                probe.sendto(b"", (str(address), _DISCARD_PORT))


def leased_addresses(lease_file: str, *, now_s: float) -> set[_Address]:
    """Return which addresses dnsmasq's lease file gives out at a Unix time: lines of an end, a MAC and an address."""
    return {address for end_s, address in _leases(lease_file) if end_s == 0 or end_s > now_s}


def _leases(lease_file: str) -> Iterator[tuple[int, _Address]]:
    for line in lease_file.splitlines():
        words = line.split()
        with suppress(ValueError, IndexError):
            yield int(words[0]), _Address(words[2])


def owned_addresses(arp: str, interface: str) -> set[_Address]:
    """Return which addresses somebody has on an interface, in the text of the kernel's ARP table."""
    rows = (line.split() for line in arp.splitlines()[1:])
    return {
        _Address(row[0]) for row in rows if len(row) == 6 and row[5] == interface and int(row[2], 16) & _IS_COMPLETE
    }
