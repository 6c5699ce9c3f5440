"""Which machines DHCP turned away, because it had no address left for them. Pure.

They asked and have no boot to be shown in. One that is given an address is no longer one of them, nor one that has not
asked for a while: firmware tries for a minute, and begins anew.
"""

from __future__ import annotations

from collections import OrderedDict

KEPT_S = 300.0
_MACHINES_MAX = 4096


class Addressless:
    """Remembers a bounded number of machines, the latest; `times` is how often one was turned away, in all."""

    def __init__(self) -> None:
        self.times = 0
        self._asked_s: OrderedDict[str, float] = OrderedDict()

    def turned_away(self, mac: str, *, now_s: float) -> None:
        """Occurs when there is no address for a machine."""
        self.times += 1
        self._asked_s[mac] = now_s
        self._asked_s.move_to_end(mac)
        if len(self._asked_s) > _MACHINES_MAX:
            self._asked_s.popitem(last=False)

    def given(self, mac: str) -> None:
        """Occurs when a machine gets an address."""
        self._asked_s.pop(mac, None)

    def machines(self, now_s: float) -> tuple[str, ...]:
        """Return the MAC addresses of those that are without one, the longest silent first."""
        while self._asked_s and now_s - next(iter(self._asked_s.values())) > KEPT_S:
            self._asked_s.popitem(last=False)
        return tuple(self._asked_s)
