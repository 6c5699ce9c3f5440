"""Stage 0 for 500 nodes on simulated time: the product's own admission, with neighbours that serve and without.

Run with `-s` it prints the table of docs/stage0.md.
"""

from __future__ import annotations

import numpy as np
import pytest

from netsim.delivery.admission import ProductAdmission
from netsim.delivery.stage0_loads import EveryoneAtOnce
from netsim.scenario.arrays import Floats
from netsim.scenario.scenario import Network, Scenario
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
