"""The small calibration: the lab's real programs and the simulator on the same scenarios, within a tolerance.

The full one is `swarmboot lab calibrate`; its rows and what they showed are in docs/calibration.md.
"""

from __future__ import annotations

import pytest

from netsim.lab.calibration.calibrate import compare, measure, scenario_of
from netsim.lab.calibration.rows import Row, full_rows, small_rows
from netsim.scenario.toml import parse_scenario
from netsim.study.result import result_of
from netsim.study.simulation import simulate

TOLERANCE = {"https": 0.10, "libtorrent": 0.25, "swarmboot": 0.20}
"""Few runs a row; docs/calibration.md has the aim, 10 % on each."""


@pytest.mark.root
@pytest.mark.needs("ip", "tc", "nginx")
@pytest.mark.parametrize("row", small_rows(), ids=lambda row: row.strategy)
def test_the_simulator_says_what_the_lab_measures(row: Row) -> None:
    runs = 1 if row.strategy == "https" else 3
    comparison = compare(row, [measure(row) for _ in range(runs)])
    assert comparison.worst <= TOLERANCE[row.strategy], comparison.as_json()


def test_the_full_calibration_has_every_row_it_promises() -> None:
    rows = full_rows()
    for strategy in ("https", "libtorrent", "swarmboot"):
        ours = [row for row in rows if row.strategy == strategy]
        assert {row.nodes for row in ours} == {1, 4, 8, 16}
        assert len({row.rate_bytes_per_s for row in ours}) == len({row.size_bytes for row in ours}) == 2
    assert any(row.stagger_s and row.server_dies_s is None for row in rows)
    assert any(row.server_dies_s is not None for row in rows)
    assert any(row.stagger_s and row.read_share for row in rows), "late nodes show what neighbours send first"


@pytest.mark.parametrize("row", full_rows(), ids=lambda row: row.label)
def test_every_row_is_a_scenario_that_the_simulator_reads(row: Row) -> None:
    scenario = parse_scenario(scenario_of(row, {"leecher_start": 0.5}))
    assert (scenario.nodes, scenario.release.total_bytes) == (row.nodes, row.size_bytes + row.stage0_bytes)
    assert scenario.network.node_bytes_per_s == pytest.approx(row.rate_bytes_per_s)
    assert scenario.phases["leecher_start"].first == 0.5


def test_what_the_lab_reports_of_a_phase_is_what_the_simulator_takes_for_it() -> None:
    row = Row("swarmboot", 4, 2.5e6, 1 << 20)
    reported = {"leecher_start": 0.5, "manifest": 0.2, "hand_off": 0.1}
    scenario = parse_scenario(scenario_of(row, reported))
    phases = result_of(scenario, simulate(scenario, "swarmboot")).phases
    assert {name: phases[name].p50_s for name in reported} == pytest.approx(reported)
