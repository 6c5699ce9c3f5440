"""The least time in which N nodes can all hold F bytes: the fluid limit, pure arithmetic.

Follows Kumar and Ross, "Peer-assisted file distribution: the minimum distribution time" (HotWeb 2006), with two more
bounds that any scheme obeys: every rack imports at least one copy over its uplink, and a node that starts late still
needs its own download. It will not model headers, latency or pieces: rates are raw, so no program reaches 1.00.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkRates:
    """The raw rates of one rack or of several equal ones, in bytes per second; a node's link is the same both ways."""

    server_bytes_per_s: float
    node_bytes_per_s: float
    racks: int = 1
    rack_uplink_bytes_per_s: float | None = None

    @property
    def slowest_bytes_per_s(self) -> float:
        """Return the rate of the slowest link."""
        return min(
            self.server_bytes_per_s, self.node_bytes_per_s, self.rack_uplink_bytes_per_s or self.node_bytes_per_s
        )


def least_time_s(size_bytes: int, nodes: int, rates: LinkRates, *, last_start_s: float = 0.0, warm: int = 0) -> float:
    """Return T* in seconds: no scheme can have all `nodes` complete sooner after the first one's start.

    `last_start_s` is when the last node starts, `warm` how many more nodes hold everything already, some in every rack
    or none. The terms: the server sends every byte once, unless a warm node has it; a node receives every byte once;
    all senders together deliver N copies; each rack imports one copy; the core's senders deliver one copy to every
    rack.
    """
    server, node = rates.server_bytes_per_s, rates.node_bytes_per_s
    bounds = [
        last_start_s + size_bytes / node,
        nodes * size_bytes / (server + (nodes + warm) * node),
    ]
    if warm:
        return max(bounds)
    bounds.append(size_bytes / server)
    if rates.racks > 1 and rates.rack_uplink_bytes_per_s is not None:
        uplink = rates.rack_uplink_bytes_per_s
        bounds += [size_bytes / uplink, rates.racks * size_bytes / (server + (rates.racks - 1) * uplink)]
    return max(bounds)


def unicast_time_s(size_bytes: int, nodes: int, rates: LinkRates, *, last_start_s: float = 0.0) -> float:
    """Return the seconds in which the server alone can send `nodes` whole copies: the worst that is still sensible."""
    return last_start_s + max(nodes * size_bytes / rates.server_bytes_per_s, size_bytes / rates.node_bytes_per_s)
