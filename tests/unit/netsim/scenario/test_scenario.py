"""Scenarios: what TOML and flags make of them, and that a bad one is one line which names the key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from netsim.cli import simulate
from netsim.scenario.fleet import draw_fleet
from netsim.scenario.from_flags import EXAMPLES, parse_sweep
from netsim.scenario.scenario import Scenario
from netsim.scenario.spread import Shape, Spread, fixed, parse_spread
from netsim.scenario.toml import parse_scenario, read_scenario
from swarmboot.errors import MalformedSettingError, ScenarioError, SettingsError


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("speed = 3", "speed"),
        ("[network]\nnode_nick = '1gbit'", "network.node_nick"),
        ("[network]\nnode_nic = '-1gbit'", "network.node_nic"),
        ("[network]\nserver_nic = 'fast'", "network.server_nic"),
        ("[network]\nracks = 501", "network.racks"),
        ("[network]\ngoodput = 1.5", "network.goodput"),
        ("nodes = 0", "nodes"),
        ("nodes = '10'", "nodes"),
        ("[release]\nimages = ['0B']", "release.images"),
        ("[release]\nimages = []", "release.images"),
        ("[release]\nkernel = 'big'", "release.kernel"),
        ("[release]\npiece = '100kB'", "release.piece"),
        ("[network]\nnodes_per_rack = 0", "network.nodes_per_rack"),
        ("[network]\noversubscription = 0", "network.oversubscription"),
        ("timeout = '0s'", "timeout"),
        ("[phases]\nfirmware = 'sometimes'", "phases.firmware"),
        ("[phases]\npower_on = 'uniform 9s 1s'", "phases.power_on"),
        ("[hardware.old]\nshare = 2", "hardware.old.share"),
        ("[hardware.old]\nshare = 0.5\ncolour = 'red'", "hardware.old.colour"),
        ("[faults]\ncorrupt = '120%'", "faults.corrupt"),
        ("[faults]\nslow_racks = { 7 = '1mbit' }", "faults.slow_racks"),
        ("[faults.kill]\nfirst = '1s'", "faults.kill.first"),
        ("network = 3", "network"),
    ],
)
def test_a_bad_scenario_is_one_line_that_names_the_key(text: str, key: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        parse_scenario(text)
    assert f"scenario key {key}" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_toml_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("nodes = = 3")
    with pytest.raises(ScenarioError, match=r"broken\.toml is not TOML"):
        read_scenario(path)
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_scenario(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--nodes", "0"], "nodes"),
        (["--node-nic", "-1gbit"], "--node-nic"),
        (["--image", "0MB"], "release.images"),
        (["--racks", "9", "--nodes", "8"], "network.racks"),
        (["--corrupt", "much"], "--corrupt"),
        (["--slow-rack", "x:1mbit"], "--slow-rack"),
        (["--slow-rack", "0:0mbit"], "--slow-rack"),
        (["--power-on", "soon"], "--power-on"),
        (["--release-scale", "0"], "--release-scale"),
        (["--plot", "drawing.gif"], "--plot"),
        (["--plot", "/nowhere/drawing.png"], "--plot"),
        (["--sweep", "racks=1,2"], "--sweep"),
        (["--plan-power", "--uplink-share", "0%"], "--uplink-share"),
    ],
)
def test_a_bad_flag_is_refused_by_its_name(arguments: list[str], named: str) -> None:
    refused = CliRunner().invoke(simulate, arguments).exception
    assert isinstance(refused, SettingsError)
    assert named in str(refused)


def test_every_key_reaches_the_scenario() -> None:
    scenario = parse_scenario(
        """
        nodes = 40
        seed = 7
        verify = "100MB/s"
        [release]
        images = ["100MB", "5MB"]
        kernel = "9MB"
        initramfs = "21MB"
        [network]
        node_nic = "1gbit"
        server_nic = "10gbit"
        servers = 2
        mirrors = 1
        nodes_per_rack = 10
        oversubscription = 4
        latency = "0.5ms"
        [phases]
        firmware = "normal 20s 3s"
        [hardware.old]
        share = 0.5
        nic = "100mbit"
        slowness = 2.0
        [faults]
        server_dies_at = "30s"
        dead = "5%"
        slow_racks = { 3 = "10mbit" }
        [admission]
        server_slots = 2
        """
    )
    network = scenario.network
    assert (network.racks, network.rack_uplink_bytes_per_s, network.mirror_bytes_per_s) == (4, 312.5e6, 1250e6)
    assert scenario.release.total_bytes == 135_000_000
    assert scenario.phases["firmware"] == Spread(Shape.NORMAL, 20.0, 3.0)
    assert scenario.faults.slow_racks == {3: 1.25e6}
    assert (scenario.faults.dead_share, scenario.admission.server_slots) == (0.05, 2)
    fleet = draw_fleet(scenario)
    assert np.count_nonzero(fleet.nic_bytes_per_s == 12.5e6) == 20


def test_what_a_scenario_leaves_out_is_the_default() -> None:
    assert parse_scenario("") == Scenario()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_scenario_reads(path: Path) -> None:
    assert read_scenario(path).name


def test_the_same_seed_draws_the_same_fleet_and_another_does_not() -> None:
    def asks(seed: int) -> list[float]:
        return [float(value) for value in draw_fleet(Scenario(nodes=20, seed=seed)).asks_at_s]

    assert asks(3) == asks(3) != asks(4)


def test_nodes_fill_the_racks_in_order_and_evenly() -> None:
    fleet = draw_fleet(parse_scenario("nodes = 10\n[network]\nracks = 3"))
    assert list(fleet.racks) == sorted(fleet.racks)
    assert {list(fleet.racks).count(rack) for rack in range(3)} <= {3, 4}


@pytest.mark.parametrize("text", ["uniform 1s 3s", "normal 2s 0.5s", "lognormal 2s 0.3", "exponential 2s"])
def test_a_spread_is_about_where_its_numbers_say(text: str) -> None:
    drawn = parse_spread(text).draw(np.random.default_rng(1), 4000)
    assert float(np.median(drawn)) == pytest.approx(1.39 if "exp" in text else 2.0, rel=0.05)
    assert float(drawn.min()) >= 0


def test_a_stagger_powers_node_after_node() -> None:
    assert list(parse_spread("every 0.5s").draw(np.random.default_rng(1), 4)) == [0.0, 0.5, 1.0, 1.5]
    assert parse_spread("8s") == fixed(8.0)


@pytest.mark.parametrize("text", ["", "every", "uniform 1s", "normal 1s 2s 3s", "8 apples", "lognormal 1s wide"])
def test_what_is_no_spread_is_refused(text: str) -> None:
    with pytest.raises(MalformedSettingError):
        parse_spread(text)


def test_a_sweep_is_a_list_of_fleet_sizes() -> None:
    assert parse_sweep("nodes=50,100") == (50, 100)
