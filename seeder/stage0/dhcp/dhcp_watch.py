"""Which machines dnsmasq has told what to boot, from what it says with `log-dhcp`. Pure: lines come in.

A transaction's lines have its number before them (rfc2131.c, `log_packet` and `log_options`): who is answered comes
first, and a boot file's name only where there is one, in its field or as option 67, so a system that renews its lease
is no boot. A proxy says `PXE`. Nor is the question of our own `doctor` one, which it asks as a machine would.
"""

from __future__ import annotations

import re
from collections import OrderedDict

QUESTION = "02:73:77:62"
"""What the MAC addresses begin with that `doctor` and `init` ask from, locally administered: no machine's."""

_OPEN_MAX = 1024
_ANSWERED = re.compile(r" (\d+) (?:DHCPOFFER|DHCPACK|(PXE))\(\S+\) (?:\S+ )?([0-9a-f]{2}(?::[0-9a-f]{2}){5})\b")
_TOLD = re.compile(r" (\d+) (?:bootfile name: |sent size: *\d+ option: *67 )")


class DhcpWatch:
    """Remembers whom a bounded number of transactions are with."""

    def __init__(self) -> None:
        self._machines: OrderedDict[str, str] = OrderedDict()

    def hear(self, line: str) -> str:
        """Return the MAC address of a machine that has just been told what to boot; mostly nothing."""
        if told := _TOLD.search(line):
            return self._machines.pop(told[1], "")
        answered = _ANSWERED.search(line)
        if answered is None:
            return ""
        number, is_proxied, mac = answered.groups()
        if mac.startswith(QUESTION):
            return ""
        if is_proxied:
            return mac
        self._machines[number] = mac
        self._machines.move_to_end(number)
        if len(self._machines) > _OPEN_MAX:
            self._machines.popitem(last=False)
        return ""
