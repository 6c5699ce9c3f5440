"""Addresses and names are unique, legal and recognised again."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.lab.rack.layout import PREFIX_LENGTH, SERVER_ADDRESS, Layout, RunId, lay_out, parse_run_name
from netsim.lab.rack.plan import LabPlan

RUN = RunId(pid=4242, start_ticks=99)
LONGEST_INTERFACE_NAME = 15


def build_layout(nodes: int, racks: int = 1, warm: int = 0) -> Layout:
    uplink = 1e6 if racks > 1 else None
    plan = LabPlan("https", nodes, 1e6, 1, racks=racks, rack_uplink_bytes_per_s=uplink, warm=warm)
    plan.check()
    return lay_out(plan, RUN)


@given(st.integers(1, 1000), st.integers(1, 250))
def test_every_node_has_an_address_of_its_own_in_the_one_network(nodes: int, racks: int) -> None:
    layout = build_layout(nodes, min(nodes, racks))
    network = ipaddress.ip_network(f"{SERVER_ADDRESS}/{PREFIX_LENGTH}", strict=False)
    addresses = {ipaddress.ip_address(node.address) for node in layout.nodes}
    assert len(addresses | {ipaddress.ip_address(SERVER_ADDRESS)}) == nodes + 1
    assert all(address in network and address != network.broadcast_address for address in addresses)


@given(st.integers(1, 1000), st.integers(1, 250))
def test_racks_take_neighbouring_nodes_and_differ_by_one_at_most(nodes: int, racks: int) -> None:
    racks = min(nodes, racks)
    of_nodes = [node.rack for node in build_layout(nodes, racks).nodes]
    assert of_nodes == sorted(of_nodes)
    sizes = [of_nodes.count(rack) for rack in range(racks)]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 125))
def test_warm_nodes_have_places_of_their_own_in_the_same_racks(nodes: int, warm: int, racks: int) -> None:
    racks = min(nodes, warm, racks)
    layout = build_layout(nodes, racks, warm)
    network = ipaddress.ip_network(f"{SERVER_ADDRESS}/{PREFIX_LENGTH}", strict=False)
    addresses = {ipaddress.ip_address(node.address) for node in layout.everyone}
    assert len(addresses) == len(set(layout.namespaces)) - 2 == nodes + warm
    assert all(address in network and address != network.broadcast_address for address in addresses)
    assert {node.rack for node in layout.warm} == {node.rack for node in layout.nodes}


def test_the_longest_names_still_fit_an_interface() -> None:
    layout = build_layout(1000, 250)
    assert max(len(node.port) for node in layout.nodes) <= LONGEST_INTERFACE_NAME


def test_a_run_knows_its_namespaces_again_by_name() -> None:
    layout = build_layout(8)
    assert len(set(layout.namespaces)) == 10
    assert {parse_run_name(name) for name in layout.namespaces} == {RUN}


def test_one_rack_is_plugged_in_the_core_and_several_in_their_own_switch() -> None:
    alone, two = build_layout(2), build_layout(2, 2)
    assert [alone.bridge_of(node) for node in alone.nodes] == ["core", "core"]
    assert [two.bridge_of(node) for node in two.nodes] == ["rack0", "rack1"]


@pytest.mark.parametrize("name", ["", "swarmlab", "swarmlab-x-1", "swarmlab-0-1", "xswarmlab-1-1", "swarmlab-1-1x"])
def test_a_name_that_no_lab_made_is_left_alone(name: str) -> None:
    assert parse_run_name(name) is None
