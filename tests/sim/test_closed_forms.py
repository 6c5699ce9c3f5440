"""Whole simulations against what can be worked out on paper, to one percent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from netsim.scenario.arrays import Floats
from netsim.scenario.scenario import TIMED_PHASES, Faults, Hardware, Network, Release, Scenario
from netsim.scenario.spread import fixed
from netsim.study.limit import limit_s
from netsim.study.simulation import Outcome, simulate
from swarmboot.text.units import GOODPUT
from swarmboot.wire.report import PHASES

MB = 1_000_000
IMAGES_ONLY = Release(images=(40 * MB,), kernel_bytes=0, initramfs_bytes=0)
BARE = Network(node_bytes_per_s=10 * MB, server_bytes_per_s=10 * MB, latency_s=0.0, goodput=1.0)


def build_scenario(nodes: int, *, network: Network = BARE, release: Release = IMAGES_ONLY, **changes: Any) -> Scenario:
    phases = dict.fromkeys(TIMED_PHASES, fixed(0.0))
    scenario = Scenario(nodes=nodes, network=network, release=release, phases=phases, verify_bytes_per_s=1e15)
    return replace(scenario, **changes)


def images_s(outcome: Outcome) -> Floats:
    return np.asarray(outcome.ends_s[PHASES.index("images")] - outcome.ends_s[PHASES.index("manifest")])


def one_percent(expected: float) -> object:
    return pytest.approx(expected, rel=0.01)


def test_one_node_takes_its_image_over_its_link() -> None:
    assert images_s(simulate(build_scenario(1), "https"))[0] == one_percent(4.0)


def test_n_nodes_behind_one_server_all_take_n_times_as_long() -> None:
    took_s = images_s(simulate(build_scenario(25), "https"))
    assert float(took_s.min()) == one_percent(100.0)
    assert float(took_s.max()) == one_percent(100.0)


def test_a_fast_server_leaves_each_node_to_its_own_link() -> None:
    network = replace(BARE, server_bytes_per_s=1000 * MB)
    slow = (Hardware("slow", 0.5, nic_bytes_per_s=2 * MB),)
    took_s = np.sort(images_s(simulate(build_scenario(10, network=network, hardware=slow), "https")))
    assert took_s[:5] == one_percent(4.0)
    assert took_s[5:] == one_percent(20.0)


def test_a_slow_rack_waits_for_its_uplink_and_leaves_the_rest_to_the_others() -> None:
    network = replace(BARE, server_bytes_per_s=40 * MB, racks=2, rack_uplink_bytes_per_s=100 * MB)
    scenario = build_scenario(8, network=network, faults=Faults(slow_racks={1: 8 * MB}))
    took_s = images_s(simulate(scenario, "https"))
    assert took_s[:4] == one_percent(40 / (32 / 4))
    assert took_s[4:] == one_percent(40 / (8 / 4))


def test_stage_0_and_images_follow_each_other_over_the_same_link() -> None:
    release = Release(images=(40 * MB,), kernel_bytes=5 * MB, initramfs_bytes=15 * MB)
    outcome = simulate(build_scenario(4, release=release), "https")
    assert outcome.ends_s[PHASES.index("stage0")] == one_percent(8.0)
    assert outcome.up_s == one_percent(8.0 + 16.0)


def test_two_servers_halve_the_time() -> None:
    took_s = images_s(simulate(build_scenario(20, network=replace(BARE, servers=2)), "https"))
    assert float(took_s.max()) == one_percent(40.0)


def test_multicast_takes_one_image_for_any_number_of_nodes() -> None:
    few, many = (float(images_s(simulate(build_scenario(nodes), "multicast")).max()) for nodes in (2, 200))
    assert few == one_percent(many) == one_percent(4.0 / 0.9)


def test_one_swarmboot_node_is_as_fast_as_the_seeder_paces_leases_but_for_its_requests() -> None:
    took_s = float(images_s(simulate(build_scenario(1), "swarmboot"))[0])
    assert 4.0 <= took_s <= 4.0 / GOODPUT * 1.05


@pytest.mark.parametrize("nodes", [1, 2, 7, 40, 300])
@pytest.mark.parametrize("server_mb_per_s", [10, 40])
def test_the_limit_is_the_fluid_bound(nodes: int, server_mb_per_s: int) -> None:
    scenario = build_scenario(nodes, network=replace(BARE, server_bytes_per_s=server_mb_per_s * MB))
    outcome = simulate(scenario, "multicast")
    server, node = server_mb_per_s * MB, 10 * MB
    kumar_ross = max(40 * MB / server, 40 * MB / node, nodes * 40 * MB / (server + nodes * node))
    assert limit_s(scenario, outcome.fleet) == one_percent(kumar_ross)


@pytest.mark.parametrize("nodes", [2, 8, 20])
def test_n_equal_nodes_that_swap_come_close_to_the_fluid_bound_and_never_beat_it(nodes: int) -> None:
    scenario = build_scenario(nodes)
    outcome = simulate(scenario, "swarmboot")
    limit = limit_s(scenario, outcome.fleet)
    assert limit <= float(outcome.up_s.max()) <= 1.3 * limit
    assert 1.0 <= outcome.server_bytes / (40 * MB) <= 1.05


def test_no_node_of_a_rack_is_left_behind_by_those_that_came_first() -> None:
    network = replace(BARE, node_bytes_per_s=3 * MB, server_bytes_per_s=3 * MB)
    scenario = build_scenario(32, network=network)
    outcome = simulate(scenario, "swarmboot")
    last, median = float(outcome.up_s.max()), float(np.median(outcome.up_s))
    assert last <= 1.03 * median
    assert last <= 1.3 * limit_s(scenario, outcome.fleet)


def test_the_limit_with_stage_0_counts_what_must_come_before() -> None:
    release = Release(images=(40 * MB,), kernel_bytes=10 * MB, initramfs_bytes=10 * MB)
    phases = {**dict.fromkeys(TIMED_PHASES, fixed(0.0)), "kernel": fixed(5.0), "services": fixed(3.0)}
    scenario = replace(build_scenario(1, release=release), phases=phases)
    outcome = simulate(scenario, "https")
    assert limit_s(scenario, outcome.fleet) == one_percent(2.0 + 5.0 + 4.0 + 3.0)
    assert float(outcome.up_s[0]) == one_percent(14.0)


def test_a_server_that_must_load_everyone_first_bounds_the_limit() -> None:
    release = Release(images=(1,), kernel_bytes=10 * MB, initramfs_bytes=10 * MB)
    phases = {**dict.fromkeys(TIMED_PHASES, fixed(0.0)), "kernel": fixed(1000.0)}
    scenario = replace(build_scenario(30, release=release), phases=phases)
    outcome = simulate(scenario, "multicast")
    assert limit_s(scenario, outcome.fleet) == one_percent(30 * 2.0 + 1000.0)
