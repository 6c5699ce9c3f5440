"""Which machines a line of a file is about: a MAC address with `*` and `?`, or a network in CIDR form. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from seeder.boot_script.grammar import parse_mac

_MAC_PATTERN = re.compile(r"[0-9a-f*?]{1,2}(:[0-9a-f*?]{1,2}){0,5}\Z")


@dataclass(frozen=True, slots=True)
class MachinePattern:
    """A group of machines. `mac` is the pattern in lower case with colons, `network` is None for one of addresses."""

    mac: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None

    @property
    def one(self) -> str:
        """Return the MAC address of the one machine that this is about, nothing if it may be several."""
        return "" if self.network is not None else parse_mac(self.mac)

    def fits(self, mac: str, host: str) -> bool:
        """Return whether a machine with this MAC address (lower case, colons) and IP address is one of them."""
        if self.network is None:
            return fnmatchcase(mac, self.mac)
        try:
            return ipaddress.ip_address(host) in self.network
        except ValueError:
            return False


def parse_machine_pattern(text: str) -> MachinePattern | None:
    """Return the group of machines that a word names, None if it names none."""
    pattern = text.lower().replace("-", ":")
    if "/" not in pattern:
        return MachinePattern(pattern) if _MAC_PATTERN.match(pattern) else None
    try:
        return MachinePattern(pattern, ipaddress.ip_network(pattern))
    except ValueError:
        return None
