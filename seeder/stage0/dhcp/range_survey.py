"""Who stands in the DHCP range without a lease of this server's: asked once, before dnsmasq begins to give it out.

dnsmasq pings an address before it offers it for the first time and answers nobody else for those three seconds, six
machines in a row when a rack is switched on (its PING_WAIT and PING_CACHE_TIME). Where nobody stands in the range who
has no lease, that is waiting for nothing. A datagram to each address makes the kernel look for its owner (RFC 826);
who answered stands in the ARP table (proc(5), /proc/PID/net/arp), whether or not he answers pings.
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from seeder.stage0.dhcp.dnsmasq import DhcpPlan

_ARP_TABLE = Path("/proc/self/net/arp")
"""Not by way of /proc/net, which a service with `ProcSubset=pid` does not have (systemd.exec(5))."""

MOST = 1792
"""Of how many addresses it is asked: `_BATCH` after `_BATCH`, which takes a second and then three more for each."""

_BATCH, _ANSWER_S, _FORGOTTEN_S, _SENT_MAX = 896, 1.1, 2.2, 64
"""The kernel's table has room for 1,024, and keeps who does not answer for three seconds (arp(7), gc_thresh3)."""

_DISCARD_PORT = 9
_IS_COMPLETE = 0x2
_SIOCGIFFLAGS, _IFF_RUNNING = 0x8913, 0x40
_Address = ipaddress.IPv4Address


def strangers_in_range(plan: DhcpPlan) -> tuple[_Address, ...] | None:
    """Return who answers in the range without a lease, which takes a second or more; None if that cannot be known."""
    given = plan.addresses
    if given is None or int(given.last) - int(given.first) >= MOST:
        return None
    try:
        lease_file = Path(plan.lease_file)
        leases = lease_file.read_text(errors="replace") if lease_file.exists() else ""
        free = map(_Address, range(int(given.first), int(given.last) + 1))
        wanted = set(free) - leased_addresses(leases, now_s=time.time()) - {plan.address.ip}
        return _owned_of(sorted(wanted), plan.interface) if _has_link(plan.interface) else None
    except OSError:
        return None


def _owned_of(wanted: Sequence[_Address], interface: str) -> tuple[_Address, ...] | None:
    """Return which of these addresses somebody has; None if the kernel did not look for all. Raises OSError."""
    found: list[_Address] = []
    for first in range(0, len(wanted), _BATCH):
        if first:
            time.sleep(_FORGOTTEN_S)
        batch = wanted[first : first + _BATCH]
        _look_for(interface, batch)
        time.sleep(_ANSWER_S)
        owned = who_answered(_ARP_TABLE.read_text(), interface, batch)
        if owned is None:
            return None
        found += owned
    return tuple(found)


def _has_link(interface: str) -> bool:
    """Return whether anybody could hear (netdevice(7), IFF_RUNNING): a switch may start after this. Raises OSError."""
    request = struct.pack("16sH22x", interface.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        _, flags = struct.unpack("16sH22x", fcntl.ioctl(probe, _SIOCGIFFLAGS, request))
    return bool(flags & _IFF_RUNNING)


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


def who_answered(arp: str, interface: str, asked: Sequence[_Address]) -> tuple[_Address, ...] | None:
    """Return who of those asked has answered on an interface, in the text of the kernel's ARP table.

    None if one of them is not in it: a table that is full takes nobody in, and who sends is not told (ip_output.c).
    """
    rows = (line.split() for line in arp.splitlines()[1:])
    flags = {row[0]: int(row[2], 16) for row in rows if len(row) == 6 and row[5] == interface}
    known = [flags.get(str(each)) for each in asked]
    if None in known:
        return None
    return tuple(each for each, its in zip(asked, known, strict=True) if its is not None and its & _IS_COMPLETE)
