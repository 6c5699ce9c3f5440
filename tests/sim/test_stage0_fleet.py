"""Stage 0 for 500 nodes on simulated time: the product's own admission, with neighbours that serve and without.

Run with `-s` it prints the table of docs/stage0.md.
"""

from __future__ import annotations

import numpy as np
import pytest

from netsim.delivery.admission import ProductAdmission
from netsim.delivery.stage0_loads import EveryoneAtOnce
from netsim.lab.calibration.calibrate import TOLERANCE, scenario_of
from netsim.lab.calibration.rows import Figures, Row, stage0_rows
from netsim.scenario.arrays import Floats
from netsim.scenario.scenario import Network, Scenario
from netsim.scenario.toml import parse_scenario
from netsim.study.simulation import STRATEGIES, Simulation
from seeder.policy.admission import AdmissionLimits
from swarmboot.wire.report import PHASES

SCENARIO = Scenario(nodes=500, network=Network(racks=10)).check()
NEITHER, ADMISSION, BOTH = "everyone at once", "admission", "admission, and neighbours serve"


def stage0_s(*, has_admission: bool, has_neighbours: bool) -> Floats:
    """Return how long each node took from the moment the first one asked to its stage 0, sorted."""
    network = SCENARIO.network
    limits = AdmissionLimits(network.server_bytes_per_s * network.goodput, SCENARIO.release.stage0_bytes)
    product = ProductAdmission(limits, now_s=lambda: simulation.engine.now_s)
    strategy = STRATEGIES["swarmboot+stage0" if has_neighbours else "swarmboot"]
    simulation = Simulation(SCENARIO, strategy, admission=product if has_admission else EveryoneAtOnce())
    outcome = simulation.run()
    first_ask_s = float(outcome.fleet.asks_at_s.min())
    return np.sort(outcome.ends_s[PHASES.index("stage0")] - first_ask_s)


@pytest.fixture(scope="module")
def stage0() -> dict[str, Floats]:
    found = {
        NEITHER: stage0_s(has_admission=False, has_neighbours=False),
        ADMISSION: stage0_s(has_admission=True, has_neighbours=False),
        BOTH: stage0_s(has_admission=True, has_neighbours=True),
    }
    for name, ends_s in found.items():
        print(f"| {name} | {np.median(ends_s):.1f} s | {ends_s[-1]:.1f} s |")
    return found


def test_the_last_of_500_nodes_has_stage_0_five_times_sooner(stage0: dict[str, Floats]) -> None:
    assert stage0[NEITHER][-1] >= 5 * stage0[BOTH][-1]


@pytest.mark.parametrize("name", [ADMISSION, BOTH])
def test_the_median_node_has_stage_0_no_later(stage0: dict[str, Floats], name: str) -> None:
    assert np.median(stage0[name]) <= np.median(stage0[NEITHER])


def test_with_neighbours_no_place_in_the_order_is_served_later(stage0: dict[str, Floats]) -> None:
    assert np.all(stage0[BOTH] <= stage0[NEITHER] + 0.1)


def test_without_neighbours_500_turns_cost_next_to_nothing(stage0: dict[str, Floats]) -> None:
    """Each change of turn is a round trip in which nothing is sent; sharing has none."""
    assert np.all(stage0[ADMISSION] <= 1.005 * stage0[NEITHER])


@pytest.mark.parametrize(
    ("row", "phases", "measured"),
    tuple(
        zip(
            stage0_rows(),
            (
                {"leecher_start": 0.302, "manifest": 0.364, "hand_off": 0.024, "kernel": 1.5, "loader": 0.489},
                {"leecher_start": 0.327, "manifest": 0.454, "hand_off": 0.040, "kernel": 1.5, "loader": 0.584},
                {"leecher_start": 0.358, "manifest": 0.413, "hand_off": 0.055, "kernel": 1.5, "loader": 0.751},
            ),
            (Figures(45.34, 53.51, 106.3e6), Figures(52.07, 61.76, 121.2e6), Figures(55.21, 63.31, 120.1e6)),
            strict=True,
        )
    ),
    ids=lambda value: value.label if hasattr(value, "label") else "",
)
def test_machines_load_and_lend_stage_0_as_the_lab_measured(
    row: Row, phases: dict[str, float], measured: Figures
) -> None:
    """What two runs a row had in the lab on 30 November 2026: docs/calibration.md."""
    scenario = parse_scenario(scenario_of(row, phases))
    outcome = Simulation(scenario, STRATEGIES["swarmboot+stage0"]).run()
    up_s = np.sort(outcome.ends_s[PHASES.index("services")])
    found = (float(np.median(up_s)), float(up_s[-1]), outcome.server_bytes)
    assert found == pytest.approx((measured.median_s, measured.last_s, measured.server_bytes), rel=TOLERANCE)
