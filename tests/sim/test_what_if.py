"""What a scenario's faults, seeds and sizes do to a whole boot, and what the command prints about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from netsim.cli import simulate as command
from netsim.fluid.engine import Sample
from netsim.scenario.from_flags import EXAMPLES
from netsim.scenario.scenario import Faults, Network, Release, Scenario
from netsim.scenario.spread import Shape, Spread
from netsim.scenario.toml import read_scenario
from netsim.study.plot import draw, write_plot
from netsim.study.power_plan import peak_share, plan_power
from netsim.study.result import SimulationResult, durations_s, result_of, sentence
from netsim.study.runs import run_all
from netsim.study.simulation import STRATEGIES, simulate
from swarmboot.errors import ScenarioError
from swarmboot.wire.report import BOOTED, PHASES, decode_report, encode_report

SMALL = Scenario(nodes=24, release=Release(images=(20_000_000,), kernel_bytes=2_000_000, initramfs_bytes=4_000_000))
MIRRORED = replace(SMALL, network=Network(mirrors=1))
KEYS = {
    "strategy",
    "nodes",
    "seed",
    "phases",
    "up_s",
    "server_bytes",
    "server_copies",
    "limit_s",
    "wall_s",
    "reports",
} | {"stage0_from_neighbours", "whole_s"}


def run(scenario: Scenario, strategy: str) -> SimulationResult:
    return result_of(scenario, simulate(scenario, strategy))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_node_comes_up_and_none_before_the_limit(strategy: str) -> None:
    result = run(SMALL, strategy)
    assert result.up == SMALL.nodes
    assert result.up_s.last_s is not None
    assert result.up_s.last_s >= result.limit_s


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_gives_the_same_boot_and_another_does_not(strategy: str) -> None:
    first, again, other = (simulate(replace(SMALL, seed=seed), strategy) for seed in (3, 3, 4))
    assert np.array_equal(first.ends_s, again.ends_s)
    assert not np.array_equal(first.ends_s, other.ends_s)


def test_the_same_seed_gives_the_same_boot_in_every_process() -> None:
    slow = ["--node-nic", "10mbit", "--server-nic", "10mbit", "--image", "16MiB"]
    flags = ["--nodes", "20", "--strategy", "swarmboot", *slow, "--json"]
    simulations = []
    for hash_seed in ("1", "2"):
        argv = [sys.executable, "-m", "swarmboot", "simulate", *flags]
        done = subprocess.run(argv, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, check=True)
        simulations.append([(each["node"], each["phases"]) for each in json.loads(done.stdout)[0]["reports"]])
    assert simulations[0] == simulations[1]


@pytest.mark.parametrize("nodes", [4, 64, 200])
def test_a_rack_with_ten_times_the_links_and_image_is_as_near_to_its_limit(nodes: int) -> None:
    def over_limit(scale: int) -> float:
        network = Network(node_bytes_per_s=12.5e6 * scale, server_bytes_per_s=12.5e6 * scale)
        release = Release(images=(100_000_000 * scale,), kernel_bytes=0, initramfs_bytes=0)
        at_once = dict.fromkeys(SMALL.phases, Spread(Shape.FIXED, 0.0))
        scenario = Scenario(nodes=nodes, release=release, network=network, phases=at_once)
        return float(np.max(durations_s(simulate(scenario, "swarmboot"))["images"])) / (100_000_000 / 12.5e6)

    assert over_limit(10) < 1.35 * over_limit(1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_nodes_phases_add_up_to_its_boot(strategy: str) -> None:
    outcome = simulate(SMALL, strategy)
    total_s = np.sum(list(durations_s(outcome).values()), axis=0)
    assert total_s == pytest.approx(outcome.up_s)


def test_swarmboot_is_sooner_than_plain_https_and_sends_fewer_bytes() -> None:
    results = {name: run(SMALL, name) for name in ("https", "swarmboot+stage0")}
    ours, plain = results["swarmboot+stage0"], results["https"]
    assert ours.up_s.last_s is not None
    assert plain.up_s.last_s is not None
    assert ours.up_s.last_s < plain.up_s.last_s
    assert ours.server_bytes < plain.server_bytes / 2


def test_a_node_report_is_the_record_that_real_nodes_post() -> None:
    for report in run(SMALL, "swarmboot").reports:
        assert decode_report(encode_report(report)) == report
        assert tuple(report.phases) == PHASES
        assert report.bytes_from["neighbours"] + report.bytes_from["origin"] >= 20_000_000


def test_more_nodes_survive_a_dead_server_in_a_swarm_than_with_plain_https() -> None:
    late = replace(
        SMALL, phases={**SMALL.phases, "power_on": Spread(Shape.EVERY, 1.0)}, faults=Faults(server_dies_at_s=30.0)
    )
    assert run(late, "https").up < run(late, "swarmboot+stage0").up


def test_a_mirror_carries_a_swarm_whose_server_dies_after_stage_0() -> None:
    at_s = float(np.median(simulate(MIRRORED, "swarmboot").ends_s[PHASES.index("manifest")]))
    dying = replace(MIRRORED, faults=Faults(server_dies_at_s=at_s))
    alone = replace(SMALL, faults=Faults(server_dies_at_s=at_s))
    assert run(dying, "swarmboot").up > run(alone, "https").up


def test_corrupt_nodes_cost_hash_failures_and_not_the_boot() -> None:
    result = run(replace(SMALL, faults=Faults(corrupt_share=0.2)), "swarmboot")
    assert result.up == SMALL.nodes
    assert sum(report.hash_failures for report in result.reports) > 0


def test_dead_nodes_are_counted_out_and_the_others_come_up() -> None:
    scenario = replace(SMALL, faults=Faults(killed={0: 5.0, 7: 17.0}))
    reports = run(scenario, "swarmboot+stage0").reports
    assert [index for index, report in enumerate(reports) if report.outcome != BOOTED] == [0, 7]


def test_a_slow_rack_is_late_and_the_others_are_not() -> None:
    network = Network(racks=3, rack_uplink_bytes_per_s=125e6)
    scenario = replace(SMALL, network=network, faults=Faults(slow_racks={1: 2.5e6}))
    outcome = simulate(scenario, "swarmboot")
    slow = outcome.fleet.racks == 1
    assert float(np.median(outcome.up_s[slow])) > float(outcome.up_s[~slow].max())


def test_a_release_twice_the_size_takes_longer() -> None:
    sizes = [
        CliRunner().invoke(command, ["--nodes", "8", "--strategy", "https", "--json", *more])
        for more in ([], ["--release-scale", "2"])
    ]
    single, double = (json.loads(done.output)[0]["server_bytes"] for done in sizes)
    assert double == pytest.approx(2 * single, rel=1e-6)


def test_json_has_one_object_a_strategy_with_exactly_the_promised_keys() -> None:
    done = CliRunner().invoke(command, ["--nodes", "3", "--json"])
    found = json.loads(done.output)
    assert [each["strategy"] for each in found] == list(STRATEGIES)
    for each in found:
        assert set(each) == KEYS
        assert tuple(each["phases"]) == PHASES
        assert all(
            set(times) == {"p50_s", "p95_s", "p99_s", "last_s"} for times in [*each["phases"].values(), each["up_s"]]
        )
        assert len(each["reports"]) == 3


def test_a_sweep_says_one_sentence_a_size() -> None:
    done = CliRunner().invoke(command, ["--sweep", "nodes=2,5", "--strategy", "https"])
    assert [line.split()[0] for line in done.output.splitlines()[:2]] == ["2", "5"]


def test_the_sentence_answers_the_question() -> None:
    said = sentence([run(SMALL, "https"), run(SMALL, "swarmboot+stage0")])
    assert said.startswith("24 nodes are up in ")
    assert "plain HTTPS would take " in said
    assert said.endswith(" copies.")


def test_the_sentence_says_what_the_default_gives_and_what_trust_in_neighbours_does() -> None:
    said = sentence([run(SMALL, name) for name in ("https", "swarmboot", "swarmboot+stage0")])
    assert " with --stage0-trust lan or ipxe-verify, " in said
    assert "; the default, origin-only, would take " in said
    alone = sentence([run(SMALL, "swarmboot")])
    assert "trust" not in alone


def test_under_the_sentence_stands_what_was_assumed() -> None:
    done = CliRunner().invoke(command, ["--nodes", "3", "--strategy", "swarmboot", "--power-on", "every 0.2s"])
    said = " ".join(done.output.split())
    assert "Assumed: 124.0 MiB of images, a kernel of 9.5 MiB, an initramfs of 19.1 MiB; links of 1gbit" in said
    assert "Power on every 0.20 s; firmware 12.0 s ± 1.00 s" in said


@pytest.mark.parametrize("name", ["arm-25", ""])
def test_neighbours_that_serve_stage_0_make_no_small_fleet_slower(name: str) -> None:
    at_100mbit = Network(node_bytes_per_s=12.5e6, server_bytes_per_s=12.5e6)
    scenario = read_scenario(EXAMPLES / f"{name}.toml") if name else Scenario(nodes=8, network=at_100mbit)
    with_neighbours, alone = (run(scenario, strategy).up_s.last_s for strategy in ("swarmboot+stage0", "swarmboot"))
    assert with_neighbours is not None
    assert alone is not None
    assert with_neighbours <= 1.01 * alone


def test_simulations_in_processes_are_those_in_this_one() -> None:
    many = [(replace(SMALL, nodes=210, seed=seed), "https") for seed in (1, 2)]
    assert [run.result.up_s for run in run_all(many)] == [result_of(s, simulate(s, name)).up_s for s, name in many]


def test_the_peak_share_is_the_busiest_window() -> None:
    samples = [Sample(0.0, 10.0, 100.0, 0.0), Sample(10.0, 10.0, 500.0, 9.0), Sample(20.0, 10.0, 0.0, 0.0)]
    assert peak_share(samples, capacity_bytes_per_s=100.0, window_s=10.0) == pytest.approx(0.5)
    assert peak_share([], capacity_bytes_per_s=1.0) == 0.0


def test_a_power_plan_keeps_to_its_share_and_staggers_no_more_than_it_must() -> None:
    few = replace(SMALL, nodes=10)
    free = plan_power(few, "swarmboot+stage0", share=1.0)
    most = free.share / 2
    held = plan_power(few, "swarmboot+stage0", share=most)
    assert held.share <= most
    assert held.last_up_s > free.last_up_s
    assert list(held.power_on_s) == pytest.approx([node * held.stagger_s for node in range(few.nodes)])
    with pytest.raises(ScenarioError, match="uplink-share"):
        plan_power(few, "swarmboot+stage0", share=0.001)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".html"])
def test_a_plot_is_written_in_the_format_of_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"plot{suffix}"
    write_plot(run_all([(SMALL, "https"), (SMALL, "swarmboot")]), path)
    start = path.read_bytes()[:200]
    assert {".svg": b"<?xml", ".png": b"\x89PNG", ".html": b"<!doctype html>"}[suffix] in start


def test_a_page_fits_a_narrow_screen_and_says_what_was_assumed(tmp_path: Path) -> None:
    path = tmp_path / "plot.html"
    write_plot(run_all([(SMALL, "swarmboot+stage0")]), path)
    page = path.read_text()
    assert "width=device-width" in page
    assert page.count("<svg") == 4
    assert "Assumed: 19.1 MiB of images" in page


def test_a_plot_has_the_four_panels() -> None:
    figure = draw(run_all([(SMALL, "https"), (SMALL, "swarmboot+stage0")]))
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [
        "boot by phase, swarmboot+stage0",
        "nodes up",
        "servers' and mirrors' uplink, from idle to full in each lane",
        "bytes by source, stage 0 included",
    ]
