"""What else machines are told over DHCP, as the operator says it: routers, name servers and whatever dnsmasq knows.

A name is dnsmasq's (`dnsmasq --help dhcp`) or a number (RFC 2132). Pure: texts in, dnsmasq's words out.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from swarmboot.errors import MalformedSettingError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
_VALUE = re.compile(r"[A-Za-z0-9._:/+@=~-]{1,200}\Z")
_ADDRESSES = frozenset({"router", "dns-server", "ntp-server", "log-server", "3", "6", "7", "42"})
_OWN = {
    "netmask": 1, "requested-address": 50, "lease-time": 51, "message-type": 53, "server-identifier": 54,
    "vendor-encap": 43, "vendor-class": 60, "tftp-server": 66, "bootfile-name": 67, "user-class": 77, "client-arch": 93,
}  # fmt: skip
_OWN_NUMBERS = {*_OWN.values(), 52, 55, 97, 175}


@dataclass(frozen=True, slots=True)
class DhcpOption:
    """One option: its name or number, and its values; without any, machines are told none."""

    name: str
    values: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """Return dnsmasq's line for it."""
        name = self.name if self.name.isdecimal() else f"option:{self.name}"
        return f"dhcp-option={','.join((name, *self.values))}"


def parse_dhcp_option(text: str) -> DhcpOption:
    """Return the option in `NAME[,VALUE...]`; raise MalformedSettingError for one that cannot be said.

    What brings machines to this server, and leases, it says by itself.
    """
    name, *values = (word.strip() for word in text.split(","))
    if not _NAME.match(name) or (name.isdecimal() and not 1 <= int(name) <= 254):
        raise _malformed(text, "NAME,VALUE[,VALUE...], as in router,10.0.0.254, or a number from 1 to 254")
    if name in _OWN or (name.isdecimal() and int(name) in _OWN_NUMBERS):
        raise MalformedSettingError(
            f"--dhcp-option {name} is not yours to say",
            expected="an option that does not say what is booted, from where, and for how long an address is lent",
            found=text,
            hint="use --dhcp-range, or a DHCP server of your own with --pxe INTERFACE,proxy",
        )
    for value in values:
        if name in _ADDRESSES and not _is_address(value):
            raise _malformed(text, f"{name},ADDRESS[,ADDRESS...] with IPv4 addresses")
        if not _VALUE.match(value):
            raise _malformed(text, "values of letters, digits and . _ : / + @ = ~ -")
    return DhcpOption(name, tuple(values))


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _malformed(text: str, expected: str) -> MalformedSettingError:
    return MalformedSettingError("--dhcp-option is malformed", expected=expected, found=repr(text)[:100])
