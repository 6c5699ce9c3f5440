"""Plans: what is refused, and how long a run may take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netsim.lab.rack.plan import Casualty, LabPlan, parse_casualty
from swarmboot.errors import MalformedSettingError

PLAN = LabPlan(strategy="https", nodes=8, rate_bytes_per_s=12_500_000.0, size_bytes=25_000_000)


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"nodes": 0}, "--nodes"),
        ({"nodes": 1001}, "--nodes"),
        ({"size_bytes": 0}, "--size"),
        ({"stagger_s": -1.0}, "--stagger"),
        ({"timeout_s": 0.0}, "--timeout"),
        ({"racks": 9, "rack_uplink_bytes_per_s": 1e6}, "--racks"),
        ({"racks": 2}, "--rack-uplink"),
        ({"rack_uplink_bytes_per_s": 1e6}, "--rack-uplink"),
        ({"casualties": (Casualty(after_s=1.0, node=8),)}, "--kill-node"),
        ({"warm": -1}, "--warm"),
        ({"warm": 993}, "--warm"),
        ({"warm": 1, "strategy": "udpcast"}, "--warm"),
        ({"warm": 1, "racks": 2, "rack_uplink_bytes_per_s": 1e6}, "--warm"),
    ],
)
def test_an_impossible_plan_is_refused_by_the_name_of_its_argument(change: dict[str, object], argument: str) -> None:
    with pytest.raises(MalformedSettingError, match=argument):
        replace(PLAN, **change).check()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"nodes": 1},
        {"racks": 8, "rack_uplink_bytes_per_s": 1e6},
        {"casualties": (Casualty(after_s=1.0), Casualty(after_s=1.0, node=7))},
    ],
)
def test_a_possible_plan_passes(change: dict[str, object]) -> None:
    replace(PLAN, **change).check()  # type: ignore[arg-type]


def test_the_servers_link_is_a_nodes_unless_the_plan_says_otherwise() -> None:
    assert PLAN.rates.server_bytes_per_s == PLAN.rate_bytes_per_s
    assert replace(PLAN, server_rate_bytes_per_s=1e9).rates.server_bytes_per_s == 1e9


def test_the_bound_leaves_room_for_the_slowest_strategy_that_makes_sense() -> None:
    assert PLAN.bound_s(PLAN.size_bytes) > 8 * PLAN.limit_s(PLAN.size_bytes)
    racks = replace(PLAN, racks=2, rack_uplink_bytes_per_s=1e5)
    assert racks.bound_s(racks.size_bytes) > 4 * racks.size_bytes / 1e5


def test_a_bound_that_is_given_holds() -> None:
    assert replace(PLAN, timeout_s=5.0).bound_s(PLAN.size_bytes) == 5.0


def test_staggered_nodes_move_the_limit_to_the_last_ones_download() -> None:
    assert replace(PLAN, stagger_s=1.0).limit_s(PLAN.size_bytes) == 7.0 + 2.0


def test_with_a_warm_node_the_servers_link_is_no_bound() -> None:
    slow = replace(PLAN, server_rate_bytes_per_s=1e3)
    assert slow.limit_s(slow.size_bytes) == 25_000
    assert replace(slow, warm=8).limit_s(slow.size_bytes) == 2.0


def test_a_node_to_kill_is_an_index_and_a_time() -> None:
    assert parse_casualty("3:500ms") == Casualty(after_s=0.5, node=3)


@pytest.mark.parametrize("text", ["3", "3:", ":2s", "-1:2s", "x:2s", "³:2s", "3:soon"])
def test_anything_else_is_not_a_node_to_kill(text: str) -> None:
    with pytest.raises(MalformedSettingError):
        parse_casualty(text)
