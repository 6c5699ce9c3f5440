"""Which machine this is, and which boot of it: what a report says of itself so that a person can find the node.

From the kernel alone: /proc/sys/kernel/random/boot_id (random(4)), host name and release (uname(2)), memory
(sysconf(3)), the card that leads to the seeder (netdevice(7), SIOCGIFADDR; /proc/net/if_inet6) and its MAC address in
sysfs. What cannot be told is left empty.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

HOST_NAME = Path("/run/swarmboot/handover/hostname")
"""What the network called this machine, where the kernel has not been told: an initramfs."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CARDS = Path("/sys/class/net")
_NO_NAMES = ("", "(none)", "localhost")
_SIOCGIFADDR = 0x8915
_NAME_MAX_BYTES = 64
_ANY_PORT = 9


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine and this boot of it, as `swarmboot.report` takes them."""

    boot: str = ""
    mac: str = ""
    name: str = ""
    uptime_s: float = 0.0
    kernel: str = ""
    ram_bytes: int = 0


def read_machine(server: str, bind: str = "") -> Machine:
    """Return this machine as the seeder at the URL `server` sees it; opens no connection, but may ask for a name.

    `bind` is the address that it is to talk from, if that is set. Without `server` nobody is asked, and the card is
    told where there is but one.
    """
    mac = mac_address(bind or (_own_address(server) if server else ""), _CARDS)
    return Machine(
        _text(_BOOT_ID),
        mac,
        host_name(os.uname().nodename, HOST_NAME),
        uptime_s(),
        re.sub(r"[^A-Za-z0-9._+~-]", "_", os.uname().release)[:_NAME_MAX_BYTES],
        os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )


def boot_card(server: str, bind: str = "") -> tuple[str, str]:
    """Return MAC address and address of the card that this machine boots by, each empty if it cannot be told.

    It is the one with the address `bind`, or the only one that has an address beyond its link; the seeder at the URL
    `server`, whose name may have to be asked for, is thought of only where several have one.
    """
    known = {path.parent.name: _beyond_link(_addresses(path.parent.name)) for path in _CARDS.glob("*/address")}
    named = {card: found for card, found in known.items() if found and card != "lo"}
    own = bind or (next(iter(named.values()))[0] if len(named) == 1 else _own_address(server) if server else "")
    return mac_address(own, _CARDS), own


def _beyond_link(addresses: set[str]) -> list[str]:
    """Return the addresses that lead beyond a link, those of IPv4 first."""
    parsed = (ipaddress.ip_address(address) for address in addresses)
    return [str(each) for each in sorted(parsed, key=lambda each: (each.version, each.packed)) if _is_usable(each)]


def _is_usable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return not (address.is_link_local or address.is_loopback or address.is_unspecified)


def uptime_s() -> float:
    """Return the seconds since the kernel started, those in sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def host_name(kernels: str, networks: Path) -> str:
    """Return the kernel's own name for this host, or what the network called it; what no name may hold is `_`."""
    known = kernels if kernels not in _NO_NAMES else _text(networks)
    return re.sub(r"[^A-Za-z0-9._-]", "_", "" if known in _NO_NAMES else known)[:_NAME_MAX_BYTES]


def mac_address(own: str, cards: Path) -> str:
    """Return the MAC address of the card that has the address `own`, or of the only card that has one, or nothing."""
    macs = {path.parent.name: _text(path).lower() for path in sorted(cards.glob("*/address"))}
    macs = {card: mac for card, mac in macs.items() if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5,19}", mac)}
    macs = {card: mac for card, mac in macs.items() if mac.strip("0:")}
    card = next((card for card in macs if own and own in _addresses(card)), "")
    return macs[card] if card else next(iter(macs.values())) if len(macs) == 1 else ""


def _own_address(server: str) -> str:
    """Return the address that this machine talks to a server from, as its routes say: nothing is sent."""
    with suppress(OSError, ValueError):
        parts = urlsplit(server)
        family, _, _, _, where = socket.getaddrinfo(parts.hostname, _ANY_PORT, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.connect(where)
            return str(trial.getsockname()[0]).partition("%")[0]
    return ""


def _addresses(card: str) -> set[str]:
    """Return a card's addresses: its first of IPv4, all of IPv6."""
    found = set()
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        answer = fcntl.ioctl(asking, _SIOCGIFADDR, struct.pack("256s", card.encode()[:15]))
        found.add(socket.inet_ntop(socket.AF_INET, answer[20:24]))
    for line in _text(Path("/proc/net/if_inet6")).splitlines():
        words = line.split()
        if len(words) == 6 and words[5] == card:
            found.add(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(words[0])))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
