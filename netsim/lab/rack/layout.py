"""Who lives where in a lab: names of namespaces, interfaces and addresses. Pure; nothing here exists yet.

One flat network 10.77.0.0/16: the server is 10.77.0.1, node k of rack r is 10.77.(r+1).(k+1); a rack of more than 250
nodes goes on in the next free third octets, as do the nodes that are warm before the others start. The addresses exist
inside the lab's own namespaces only, so they collide with nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netsim.lab.rack.plan import LabPlan

NETWORK = "10.77.0.0/16"
SERVER_ADDRESS = "10.77.0.1"
SERVER_MAC = "02:00:0a:4d:00:01"
PREFIX_LENGTH = 16
PROGRAM = "swarmlab"
_PER_SUBNET = 250
_RUN_NAME = re.compile(rf"{PROGRAM}-([1-9][0-9]*)-([0-9]+)(?:-.+)?\Z")


@dataclass(frozen=True, slots=True)
class RunId:
    """One run's name, unique on this machine: its process and that process's start in clock ticks since boot."""

    pid: int
    start_ticks: int

    @property
    def prefix(self) -> str:
        """Return what all names of this run begin with."""
        return f"{PROGRAM}-{self.pid}-{self.start_ticks}"


def parse_run_name(name: str) -> RunId | None:
    """Return the run that a namespace or directory of that name belongs to, or None when it is not a lab's."""
    match = _RUN_NAME.match(name)
    return RunId(pid=int(match[1]), start_ticks=int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Node:
    """One node's place: `port` is its end of the cable at the switch; its own end is `eth0`."""

    index: int
    rack: int
    address: str
    netns: str
    port: str

    @property
    def mac(self) -> str:
        """Return the address of its network interface: locally administered, and its IPv4 address in the last four."""
        return f"02:00:{':'.join(f'{int(byte):02x}' for byte in self.address.split('.'))}"

    @property
    def rack_name(self) -> str:
        """Return the rack's name as the leecher announces it."""
        return f"rack{self.rack}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole lab: one namespace of switches, one of the server, one for each node."""

    run: RunId
    nodes: tuple[Node, ...]
    racks: int
    warm: tuple[Node, ...] = ()

    @property
    def everyone(self) -> tuple[Node, ...]:
        """Return the nodes that are timed and those that are warm before."""
        return (*self.nodes, *self.warm)

    @property
    def switch_netns(self) -> str:
        """Return the namespace that holds the bridges."""
        return f"{self.run.prefix}-switch"

    @property
    def server_netns(self) -> str:
        """Return the server's namespace."""
        return f"{self.run.prefix}-server"

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Return the names of all namespaces, the switch's first."""
        return (self.switch_netns, self.server_netns, *(node.netns for node in self.everyone))

    def bridge_of(self, node: Node) -> str:
        """Return the bridge a node is plugged in: its rack's, or the core when there is only one rack."""
        return f"rack{node.rack}" if self.racks > 1 else "core"


def lay_out(plan: LabPlan, run: RunId) -> Layout:
    """Return the places of a plan's nodes; racks take contiguous nodes and differ by at most one node in size.

    Warm nodes have the indices after the others', and are spread over the racks in the same way.
    """
    nodes: list[Node] = []
    subnet, filled, rack_before = 1, 0, 0
    for index in range(plan.nodes + plan.warm):
        position, count = (index, plan.nodes) if index < plan.nodes else (index - plan.nodes, plan.warm)
        rack = position * plan.racks // count
        if rack != rack_before or filled == _PER_SUBNET:
            subnet, filled, rack_before = subnet + 1, 0, rack
        filled += 1
        address = f"10.77.{subnet}.{filled}"
        nodes.append(Node(index, rack, address, netns=f"{run.prefix}-n{index}", port=f"n{index}"))
    return Layout(run=run, nodes=tuple(nodes[: plan.nodes]), racks=plan.racks, warm=tuple(nodes[plan.nodes :]))
