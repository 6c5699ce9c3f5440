"""How many nodes' addresses an address is told: enough to boot with, and not a whole fleet's.

Pure: the time comes in. Nodes behind the asker's own address are no news to it, so a rack behind one NAT or proxy is
not bounded by this. IPv6 addresses count by their network of 64 bits: a host has all of it, and those beside it there
hear its multicast.
"""

from __future__ import annotations

from collections import OrderedDict

from seeder.policy.facts.node import Node
from swarmboot.text.addresses import counted_as

TOLD_MAX = 64
"""So many addresses an address is told in `TOLD_S`, and as many more for each node there that has fetched leases."""

TOLD_S = 60.0
_ASKERS_MAX = 4096


class Disclosure:
    """Remembers who was told of whom, for the addresses that asked last."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, dict[str, float]] = OrderedDict()

    def allow(self, asker: str, others: tuple[Node, ...], *, known: int, now_s: float) -> tuple[Node, ...]:
        """Return those of the nodes that an address may be told of now; `known` of its own nodes have credit."""
        if not others:
            return ()
        asker = counted_as(asker)
        told = self._told.setdefault(asker, {})
        self._told.move_to_end(asker)
        if len(self._told) > _ASKERS_MAX:
            self._told.popitem(last=False)
        most = TOLD_MAX * (1 + known)
        if len(told) + len(others) > most:
            for host in [host for host, told_s in told.items() if now_s - told_s > TOLD_S]:
                del told[host]
        allowed = []
        for other in others:
            if other.host not in told and counted_as(other.host) != asker:
                if len(told) >= most:
                    continue
                told[other.host] = now_s
            allowed.append(other)
        return tuple(allowed)
