"""Which networks an interface is in, by the kernel's routes."""

from __future__ import annotations

import ipaddress

from seeder.stage0.dhcp.networks import connected_networks, own_addresses

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth1\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t0000600A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t0000A8C0\t0100000A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0
eth2\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def test_networks_behind_a_gateway_or_another_interface_are_not_its_own() -> None:
    networks = connected_networks(ROUTES, "eth1")
    assert list(map(str, networks)) == ["10.0.0.0/24", "10.96.0.0/24"]
    found = own_addresses(networks, ["127.0.0.1", "::1", "10.96.0.1", "192.168.0.1"])
    assert found == [ipaddress.IPv4Interface("10.96.0.1/24")]
