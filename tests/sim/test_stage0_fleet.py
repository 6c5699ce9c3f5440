"""Stage 0 for 500 nodes on simulated time, with the product's own admission and neighbours, and without either."""

from __future__ import annotations

import numpy as np
import pytest

from netsim.admission import ProductAdmission
from netsim.boot import STRATEGIES, Morning
from netsim.flows import Floats
from netsim.scenario import Network, Scenario
from netsim.stage0 import EveryoneAtOnce
from seeder.admission import AdmissionLimits
from swarmboot.report import PHASES

SCENARIO = Scenario(nodes=500, network=Network(racks=10)).check()


def stage0_s(*, has_admission: bool) -> Floats:
    """Return how long each node took from the moment the first one asked to its stage 0, sorted."""
    network = SCENARIO.network
    limits = AdmissionLimits(network.server_bytes_per_s * network.goodput, SCENARIO.release.stage0_bytes)
    product = ProductAdmission(limits, now_s=lambda: morning.engine.now_s)
    strategy = STRATEGIES["swarmboot+stage0" if has_admission else "swarmboot"]
    morning = Morning(SCENARIO, strategy, admission=product if has_admission else EveryoneAtOnce())
    outcome = morning.run()
    first_ask_s = float(outcome.fleet.asks_at_s.min())
    return np.sort(outcome.ends_s[PHASES.index("stage0")] - first_ask_s)


@pytest.fixture(scope="module")
def stage0() -> dict[bool, Floats]:
    return {has_admission: stage0_s(has_admission=has_admission) for has_admission in (False, True)}


def test_the_last_of_500_nodes_has_stage_0_five_times_sooner(stage0: dict[bool, Floats]) -> None:
    assert stage0[False][-1] >= 5 * stage0[True][-1]


def test_the_median_node_has_stage_0_no_later(stage0: dict[bool, Floats]) -> None:
    assert np.median(stage0[True]) <= np.median(stage0[False])


def test_no_place_in_the_order_is_served_later(stage0: dict[bool, Floats]) -> None:
    assert np.all(stage0[True] <= stage0[False] + 0.1)
