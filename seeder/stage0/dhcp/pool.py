"""What is said when a DHCP server has no address left: at once, and then once a minute with how many asked in vain.

dnsmasq names each machine that it has to turn away (rfc2131.c: "no address available", and "no leases left" at
`dhcp-lease-max`). Pure: lines and the time come in.
"""

from __future__ import annotations

import re

TELL_EVERY_S = 60.0
_MACHINES_MAX = 4096
_TURNED_AWAY = re.compile(r"([0-9a-f]{2}(?::[0-9a-f]{2}){5}) .*(?:no address available|no leases left)")


class PoolWatch:
    """Counts the machines that found no address since the last line about them."""

    def __init__(self) -> None:
        self._machines: set[str] = set()
        self._told_s = -TELL_EVERY_S

    def hear(self, line: str, *, now_s: float) -> str:
        """Return what there is to say after one more line of dnsmasq's; mostly nothing."""
        match = _TURNED_AWAY.search(line)
        if match is None:
            return ""
        if len(self._machines) < _MACHINES_MAX:
            self._machines.add(match[1])
        if now_s - self._told_s < TELL_EVERY_S:
            return ""
        others = len(self._machines - {match[1]})
        also = f" and {others} other machine{'s' if others > 1 else ''} since the last such line" if others else ""
        self._machines.clear()
        self._told_s = now_s
        return (
            f"no address is left in --dhcp-range for {match[1]}{also}: give a larger range, or leases that end sooner "
            "(FIRST,LAST,10m)"
        )
