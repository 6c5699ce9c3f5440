"""What is said when a DHCP server has no address left: at once, and then once a minute with how many asked in vain.

dnsmasq names each machine that it has to turn away (rfc2131.c: "no address available", and "no leases left" at
`dhcp-lease-max`), and each that it gives an address. The question of our own `doctor` is passed over. Pure: lines and
the time come in.
"""

from __future__ import annotations

import re

from seeder.stage0.dhcp.dhcp_watch import QUESTION

TELL_EVERY_S = 60.0
_MACHINES_MAX = 4096
_MAC = f"(?!{QUESTION})([0-9a-f]{{2}}(?::[0-9a-f]{{2}}){{5}})"
_TURNED_AWAY = re.compile(rf"{_MAC} .*(?:no address available|no leases left)")
_GIVEN = re.compile(rf" DHCP(?:OFFER|ACK)\(\S+\) \S+ {_MAC}\b")


def turned_away(line: str) -> str:
    """Return the MAC address of a machine for which dnsmasq has no address; mostly nothing."""
    match = _TURNED_AWAY.search(line)
    return match[1] if match else ""


def given(line: str) -> str:
    """Return the MAC address of a machine that dnsmasq gives an address; mostly nothing."""
    match = _GIVEN.search(line)
    return match[1] if match else ""


class PoolWatch:
    """Counts the machines that found no address since the last line about them."""

    def __init__(self) -> None:
        self._machines: set[str] = set()
        self._told_s = -TELL_EVERY_S

    def turned_away(self, mac: str, *, now_s: float) -> str:
        """Return what there is to say after one more machine was turned away; mostly nothing."""
        if len(self._machines) < _MACHINES_MAX:
            self._machines.add(mac)
        if now_s - self._told_s < TELL_EVERY_S:
            return ""
        others = len(self._machines - {mac})
        also = f" and {others} other machine{'s' if others > 1 else ''} since the last such line" if others else ""
        self._machines.clear()
        self._told_s = now_s
        return (
            f"no address is left in --dhcp-range for {mac}{also}: give a larger range, or leases that end sooner "
            "(FIRST,LAST,10m)"
        )
