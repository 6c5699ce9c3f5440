"""The `ip` and `tc` command lines that build a lab's network. Pure: text out, nothing run.

Every cable is a veth pair whose two ends are each shaped on their way out by a token bucket, tc-tbf(8), so that both
directions are. The bucket is small, so that the rate holds over milliseconds. The queue behind a switch port's is some
tens of milliseconds, what a shallow-buffered switch has, and no less than it has at 100 Mbit/s, for slower links stand
for fast ones in slow motion; the one behind a host's own is as long as Linux makes it, for there TCP itself keeps it
short.

Every host knows every other's hardware address from the start. Linux counts what it has to resolve against one bound
for all namespaces together (`gc_thresh3` of arp(7), 1,024 entries): 64 nodes with 20 neighbours each would pass it, and
their connections would time out. The bridges do not show packets to the firewall.

Two things that a real host has by itself and a veth pair has not are set, or downloads through one server would end up
to a third apart, by lot:

* Congestion control is cubic, Linux's default, whatever this machine's is; by route, since namespaces may not choose.
* Segments are as large as the link takes (`tcp_tso_rtt_log`). A packet in a veth pair stays on its sender's account
  until the receiver has it, so a connection has two segments on the whole way, and its share is as large as they are;
  Linux makes them small for those connections whose first packet met a queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsim.lab.rack.layout import NETWORK, PREFIX_LENGTH, SERVER_ADDRESS, SERVER_MAC

if TYPE_CHECKING:
    from netsim.lab.rack.fluid_limit import LinkRates
    from netsim.lab.rack.layout import Layout

QUEUE_S = 0.030
HOST_QUEUE_BYTES = 1000 * 1514
"""A host's own queue: a thousand packets, Ethernet's default `txqueuelen`."""
HOST_SETTINGS = {"net.ipv4.tcp_tso_rtt_log": "20"}
"""Kernel settings inside each host's namespace; those that a kernel does not have (before 5.18) it does not need."""
_BURST_S = 0.002
_MIN_QUEUE_BYTES = 375 * 1000
_CHUNK_S = 0.0015
_MIN_CHUNK_BYTES = 16 * 1024
_MAX_CHUNK_BYTES = 60 * 1024
_BRIDGE = "type bridge forward_delay 0 stp_state 0 mcast_snooping 0 nf_call_iptables 0"
_QUIET = "addrgenmode none"
"""No IPv6 link-local address: nothing but what a strategy sends is counted."""

RACK_UPLINK = "up{rack}"
"""A rack bridge's end of its cable to the core: what it sends is the rack's uplink."""
RACK_DOWNLINK = "down{rack}"
"""The core's end of the same cable."""


def chunk_bytes(rates: LinkRates) -> int:
    """Return the most bytes that a host hands to its link at once: about `_CHUNK_S` of the slowest link's time.

    Segmentation offload passes many packets as one. Without it every packet costs this machine several wake-ups, and
    the lab would measure its processors, as it did below 100mbit with chunks of less than `_MIN_CHUNK_BYTES`. With
    chunks of 64 KiB other traffic would wait 5 ms behind each at 100mbit.
    """
    return min(_MAX_CHUNK_BYTES, max(_MIN_CHUNK_BYTES, round(rates.slowest_bytes_per_s * _CHUNK_S)))


def port_queue_bytes(rate_bytes_per_s: float) -> int:
    """Return what waits at a switch port of that rate before packets are dropped."""
    return max(_MIN_QUEUE_BYTES, round(rate_bytes_per_s * QUEUE_S))


def shaping(
    device: str, rate_bytes_per_s: float, *, chunk_bytes: int, queue_bytes: int, is_shaped: bool = False
) -> str:
    """Return the tc batch line that lets `device` send at the rate, with a queue behind the bucket.

    The bucket holds two chunks, so that tbf never has to cut one into packets.
    """
    burst_bytes = max(2 * chunk_bytes, round(rate_bytes_per_s * _BURST_S))
    rate_bits_per_s, limit_bytes = round(rate_bytes_per_s * 8), burst_bytes + queue_bytes
    verb = "change" if is_shaped else "add"
    return f"qdisc {verb} dev {device} root tbf rate {rate_bits_per_s}bit burst {burst_bytes} limit {limit_bytes}"


def switch_links(layout: Layout) -> list[str]:
    """Return the `ip -batch` lines, for the switch's namespace, that make the bridges and plug in every cable."""
    lines = [f"link add core {_BRIDGE}", f"link set core {_QUIET} up"]
    if layout.racks > 1:
        for rack in range(layout.racks):
            up, down = RACK_UPLINK.format(rack=rack), RACK_DOWNLINK.format(rack=rack)
            lines += [
                f"link add rack{rack} {_BRIDGE}",
                f"link set rack{rack} {_QUIET} up",
                f"link add {up} type veth peer name {down}",
                f"link set {up} {_QUIET} master rack{rack} up",
                f"link set {down} {_QUIET} master core up",
            ]
    lines += _cable("server", layout.server_netns, SERVER_MAC, bridge="core")
    for node in layout.everyone:
        lines += _cable(node.port, node.netns, node.mac, bridge=layout.bridge_of(node))
    return lines


def _cable(port: str, netns: str, mac: str, *, bridge: str) -> list[str]:
    return [
        f"link add {port} type veth peer name eth0 address {mac} netns {netns}",
        f"link set {port} {_QUIET} master {bridge} up",
    ]


def switch_shaping(layout: Layout, rates: LinkRates) -> list[str]:
    """Return the `tc -batch` lines, for the switch's namespace, that shape what flows towards nodes and racks."""
    ports = {"server": rates.server_bytes_per_s}
    ports |= {node.port: rates.node_bytes_per_s for node in layout.everyone}
    if rates.rack_uplink_bytes_per_s is not None:
        ends = [end.format(rack=rack) for rack in range(layout.racks) for end in (RACK_UPLINK, RACK_DOWNLINK)]
        ports |= dict.fromkeys(ends, rates.rack_uplink_bytes_per_s)
    chunk = chunk_bytes(rates)
    return [shaping(port, rate, chunk_bytes=chunk, queue_bytes=port_queue_bytes(rate)) for port, rate in ports.items()]


@dataclass(frozen=True, slots=True)
class Host:
    """The server's or a node's own namespace, and the lines that set it up with `ip -batch` and `tc -batch`."""

    netns: str
    links: tuple[str, ...]
    shaping: str


def _host(netns: str, address: str, rate_bytes_per_s: float, chunk: int, macs: dict[str, str]) -> Host:
    """Return one host that knows the others' `macs` by address.

    `brd +` because udpcast finds no receiver on an interface without a broadcast address.
    """
    links = (
        "link set lo up",
        f"addr add {address}/{PREFIX_LENGTH} brd + dev eth0",
        f"link set eth0 {_QUIET} gso_max_size {chunk} up",
        f"route replace {NETWORK} dev eth0 congctl cubic",
        "route add 224.0.0.0/4 dev eth0",
        *(f"neigh add {other} lladdr {mac} dev eth0 nud permanent" for other, mac in macs.items() if other != address),
    )
    queue_bytes = max(HOST_QUEUE_BYTES, port_queue_bytes(rate_bytes_per_s))
    return Host(netns, links, shaping("eth0", rate_bytes_per_s, chunk_bytes=chunk, queue_bytes=queue_bytes))


def hosts(layout: Layout, rates: LinkRates) -> list[Host]:
    """Return the server and every node."""
    chunk = chunk_bytes(rates)
    macs = {SERVER_ADDRESS: SERVER_MAC} | {node.address: node.mac for node in layout.everyone}
    server = _host(layout.server_netns, SERVER_ADDRESS, rates.server_bytes_per_s, chunk, macs)
    return [server, *(_host(node.netns, node.address, rates.node_bytes_per_s, chunk, macs) for node in layout.everyone)]
