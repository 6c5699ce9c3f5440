"""Many simulations at once, over the machine's processors; each is single-threaded and depends only on its scenario."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from netsim.scenario.scenario import Scenario
from netsim.study.result import SimulationResult, result_of
from netsim.study.simulation import Outcome, simulate

_WORTH_A_PROCESS = 400
"""Nodes over all runs below which starting processes costs more than it saves."""


@dataclass(frozen=True, slots=True)
class Run:
    """One simulation: what was asked, what happened and what that comes to."""

    scenario: Scenario
    outcome: Outcome
    result: SimulationResult


def run_one(job: tuple[Scenario, str]) -> Run:
    """Return one simulation."""
    scenario, strategy = job
    outcome = simulate(scenario, strategy)
    return Run(scenario, outcome, result_of(scenario, outcome))


def run_all(jobs: Sequence[tuple[Scenario, str]]) -> list[Run]:
    """Return the simulations in the order of the jobs; raise what a simulation raises."""
    nodes = sum(scenario.nodes for scenario, _ in jobs)
    processors = len(os.sched_getaffinity(0))
    if len(jobs) == 1 or nodes < _WORTH_A_PROCESS or processors == 1:
        return [run_one(job) for job in jobs]
    largest_first = sorted(range(len(jobs)), key=lambda index: -jobs[index][0].nodes)
    with ProcessPoolExecutor(min(processors, len(jobs))) as pool:
        futures = {index: pool.submit(run_one, jobs[index]) for index in largest_first}
        return [futures[index].result() for index in range(len(jobs))]
