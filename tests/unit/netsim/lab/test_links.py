"""The command lines: both ends of every cable shaped, no bucket smaller than what a host sends at once."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.lab.rack.fluid_limit import LinkRates
from netsim.lab.rack.layout import RunId, lay_out
from netsim.lab.rack.links import (
    HOST_QUEUE_BYTES,
    chunk_bytes,
    hosts,
    port_queue_bytes,
    shaping,
    switch_links,
    switch_shaping,
)
from netsim.lab.rack.plan import LabPlan

PLAN = LabPlan("https", 4, 12_500_000.0, 1, server_rate_bytes_per_s=125_000_000.0)
RACKS = LabPlan("https", 4, 12_500_000.0, 1, racks=2, rack_uplink_bytes_per_s=5_000_000.0)
RUN = RunId(pid=4242, start_ticks=99)


def test_a_link_is_shaped_to_its_rate_with_tens_of_milliseconds_behind_it() -> None:
    queue_bytes = port_queue_bytes(12_500_000.0)
    assert shaping("n0", 12_500_000.0, chunk_bytes=18_750, queue_bytes=queue_bytes) == (
        "qdisc add dev n0 root tbf rate 100000000bit burst 37500 limit 412500"
    )


@given(st.floats(min_value=1e5, max_value=1.25e9), st.floats(min_value=1e5, max_value=1.25e9))
def test_no_bucket_is_smaller_than_two_chunks_of_any_host(server: float, node: float) -> None:
    chunk = chunk_bytes(LinkRates(server, node))
    for rate in (server, node):
        found = re.search(r"burst (\d+) limit (\d+)", shaping("eth0", rate, chunk_bytes=chunk, queue_bytes=1))
        assert found is not None
        assert 2 * chunk <= int(found[1]) < int(found[2])
    assert 16384 <= chunk < 65536


@pytest.mark.parametrize("plan", [PLAN, RACKS])
def test_both_ends_of_every_cable_are_shaped(plan: LabPlan) -> None:
    layout = lay_out(plan, RUN)
    made = "\n".join(switch_links(layout))
    ends_here = set(re.findall(r"link add (\S+) type veth", made)) | set(re.findall(r"peer name (\S+)\n", made))
    shaped_here = {line.split()[3] for line in switch_shaping(layout, plan.rates)}
    assert shaped_here == ends_here
    ends_there = set(re.findall(r"peer name eth0 address \S+ netns (\S+)", made))
    assert {host.netns for host in hosts(layout, plan.rates)} == ends_there
    assert all(host.shaping.startswith("qdisc add dev eth0 root tbf") for host in hosts(layout, plan.rates))


def test_the_server_and_the_nodes_send_at_their_own_rates() -> None:
    layout = lay_out(PLAN, RUN)
    server, *nodes = hosts(layout, PLAN.rates)
    assert " rate 1000000000bit " in server.shaping
    assert all(" rate 100000000bit " in node.shaping for node in nodes)


def test_rack_uplinks_are_shaped_both_ways_to_the_uplinks_rate() -> None:
    lines = switch_shaping(lay_out(RACKS, RUN), RACKS.rates)
    slow = {line.split()[3] for line in lines if " rate 40000000bit " in line}
    assert slow == {"up0", "down0", "up1", "down1"}


def test_every_interface_has_the_broadcast_address_that_udpcast_needs() -> None:
    for host in hosts(lay_out(PLAN, RUN), PLAN.rates):
        assert any(line.startswith("addr add 10.77.") and " brd + " in line for line in host.links)


def test_a_hosts_own_queue_is_as_long_as_linux_makes_it_and_a_switch_ports_is_short() -> None:
    layout = lay_out(PLAN, RUN)
    queues = [int(line.split()[-1]) for line in [host.shaping for host in hosts(layout, PLAN.rates)][1:]]
    ports = [int(line.split()[-1]) for line in switch_shaping(layout, PLAN.rates) if " n0 " in line]
    assert min(queues) > HOST_QUEUE_BYTES > max(ports)


def test_congestion_control_does_not_depend_on_the_machine() -> None:
    for host in hosts(lay_out(PLAN, RUN), PLAN.rates):
        assert "route replace 10.77.0.0/16 dev eth0 congctl cubic" in host.links


@pytest.mark.parametrize("plan", [PLAN, RACKS])
def test_every_host_knows_where_every_other_is(plan: LabPlan) -> None:
    layout = lay_out(plan, RUN)
    macs = dict(re.findall(r"peer name eth0 address (\S+) netns (\S+)", "\n".join(switch_links(layout))))
    assert len(macs) == 5, "no two hosts share an address"
    found = hosts(layout, plan.rates)
    for host in found:
        known = {line.split()[4] for line in host.links if line.startswith("neigh add ")}
        assert known == {mac for mac, netns in macs.items() if netns != host.netns}
