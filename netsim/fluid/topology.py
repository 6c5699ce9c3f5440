"""The links of a fleet and which of them a flow crosses.

Endpoints are numbered: nodes first, then the servers, then the mirrors. Every endpoint has a link up and a link down;
every rack has an uplink that it shares both ways; servers and mirrors stand at the core. A flow inside a rack does not
touch the rack's uplink. Rates are payload rates: raw rates times the goodput.
"""

from __future__ import annotations

import math

import numpy as np

from netsim.scenario.arrays import Floats, Ints
from netsim.scenario.scenario import Faults, Network


class Topology:
    """A fleet's links, as arrays. `rates` are the nodes' raw NICs in bytes per second, `racks` each node's rack."""

    def __init__(self, network: Network, rates: Floats, racks: Ints, faults: Faults | None = None) -> None:
        self.nodes = len(rates)
        self.servers = network.servers
        self.sources = network.servers + network.mirrors
        sources = [network.server_bytes_per_s] * network.servers + [network.mirror_bytes_per_s] * network.mirrors
        ends = self.nodes + self.sources
        slow = faults.slow_racks if faults else {}
        uplinks = [slow.get(rack, network.rack_uplink_bytes_per_s or math.inf) for rack in range(network.racks)]
        raw = np.concatenate([rates, sources, rates, sources, uplinks, uplinks, [np.inf]])
        self.capacity: Floats = raw * network.goodput
        self.racks: Ints = np.concatenate([racks, np.full(self.sources, -1)]).astype(np.int64)
        self._ends = ends
        self._nowhere = len(raw) - 1
        self._rack_up = np.where(self.racks >= 0, 2 * ends + self.racks, self._nowhere)
        self._rack_down = np.where(self.racks >= 0, 2 * ends + network.racks + self.racks, self._nowhere)
        self.is_flat = not any(math.isfinite(uplink) for uplink in uplinks)

    @property
    def source_ends(self) -> range:
        """Return the endpoints of the servers and mirrors."""
        return range(self.nodes, self.nodes + self.sources)

    def paths(self, senders: Ints, receivers: Ints) -> Ints:
        """Return one column a flow: the links it crosses, for `netsim.fluid.max_min.max_min_rates`."""
        ups, downs = senders, self._ends + receivers
        if self.is_flat:
            return np.stack([ups, downs])
        is_near = self.racks[senders] == self.racks[receivers]
        out = np.where(is_near, self._nowhere, self._rack_up[senders])
        into = np.where(is_near, self._nowhere, self._rack_down[receivers])
        return np.stack([ups, out, into, downs])

    def node_rate(self, node: int) -> float:
        """Return a node's payload rate in bytes per second."""
        return float(self.capacity[node])
