"""When to power which node on: the stagger that has the last node up soonest within a share of the server's uplink.

A stagger of d seconds powers node i on at i*d. The share is the largest mean of what servers and mirrors send over any
`WINDOW_S` seconds, as a part of what their NICs carry. The search simulates a ladder of staggers, then bisects twice
between the best one and its neighbours; so it finds a good stagger, not a proven optimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from netsim.fluid.engine import Sample
from netsim.scenario.fleet import draw_fleet
from netsim.scenario.scenario import Scenario
from netsim.scenario.spread import Shape, Spread
from netsim.study.runs import Run, run_all
from swarmboot.errors import ScenarioError
from swarmboot.text.units import format_duration

WINDOW_S = 10.0
_SPANS_S = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0)
_REFINEMENTS = 2


@dataclass(frozen=True, slots=True)
class PowerPlan:
    """A stagger and what comes of it; `power_on_s` says when each node is powered on."""

    stagger_s: float
    share: float
    last_up_s: float
    power_on_s: tuple[float, ...]
    racks: tuple[int, ...]

    def as_json(self) -> Mapping[str, object]:
        """Return JSON-ready values."""
        return {
            "stagger_s": round(self.stagger_s, 4),
            "uplink_share": round(self.share, 4),
            "last_up_s": round(self.last_up_s, 3),
            "power_on_s": [round(time_s, 3) for time_s in self.power_on_s],
        }

    def lines(self) -> list[str]:
        """Return the schedule, a line a rack."""
        lines = []
        for rack in sorted(set(self.racks)):
            times_s = [time_s for time_s, of in zip(self.power_on_s, self.racks, strict=True) if of == rack]
            nodes = [node for node, of in enumerate(self.racks) if of == rack]
            span = f"from {times_s[0]:.1f} s to {times_s[-1]:.1f} s, one every {self.stagger_s:.3f} s"
            lines.append(f"rack {rack}: nodes {nodes[0]} to {nodes[-1]} {span if self.stagger_s else 'at once'}")
        return lines


def peak_share(samples: list[Sample], *, capacity_bytes_per_s: float, window_s: float = WINDOW_S) -> float:
    """Return the largest share of a capacity that sources used over any window."""
    if not samples:
        return 0.0
    starts = np.array([sample.start_s for sample in samples])
    ends = starts + np.array([sample.duration_s for sample in samples])
    order = np.argsort(ends)
    sent = np.concatenate([[0.0], np.cumsum(np.array([sample.source_bytes for sample in samples])[order])])
    edges = np.concatenate([[float(starts.min())], ends[order]])
    then = np.interp(edges - window_s, edges, sent, left=0.0)
    return float((sent - then).max() / (window_s * capacity_bytes_per_s))


def plan_power(scenario: Scenario, strategy: str, *, share: float) -> PowerPlan:
    """Return the best plan within `share`; raise ScenarioError if every stagger tried passes it."""
    tried: dict[float, PowerPlan] = {}
    for spans in zip(_SPANS_S[::2], _SPANS_S[1::2], strict=True):
        best = _best(tried, share)
        if best is None or spans[0] < best.last_up_s:
            _try(tried, scenario, strategy, [span / scenario.nodes for span in spans])
    for _ in range(_REFINEMENTS):
        best = _best(tried, share)
        if best is None:
            break
        ladder = sorted(tried)
        index = ladder.index(best.stagger_s)
        around = ladder[max(0, index - 1) : index + 2]
        _try(tried, scenario, strategy, [(low + high) / 2 for low, high in pairwise(around)])
    best = _best(tried, share)
    if best is None:
        least = min(tried.values(), key=lambda plan: plan.share)
        raise ScenarioError(
            "no stagger keeps the uplink within --uplink-share",
            expected=f"at most {share:.0%} over any {WINDOW_S:g} s",
            found=f"{least.share:.0%} with a node every {format_duration(least.stagger_s)}",
            hint="allow a larger share",
        )
    return best


def _best(tried: Mapping[float, PowerPlan], share: float) -> PowerPlan | None:
    within = [plan for plan in tried.values() if plan.share <= share]
    return min(within, key=lambda plan: (plan.last_up_s, plan.stagger_s), default=None)


def _try(tried: dict[float, PowerPlan], scenario: Scenario, strategy: str, staggers_s: list[float]) -> None:
    jobs = [(_staggered(scenario, stagger_s), strategy) for stagger_s in staggers_s]
    for stagger_s, run in zip(staggers_s, run_all(jobs), strict=True):
        tried[stagger_s] = _plan(run, stagger_s)


def _staggered(scenario: Scenario, stagger_s: float) -> Scenario:
    return replace(scenario, phases={**scenario.phases, "power_on": Spread(Shape.EVERY, stagger_s)})


def _plan(run: Run, stagger_s: float) -> PowerPlan:
    network = run.scenario.network
    sources = network.servers * network.server_bytes_per_s + network.mirrors * network.mirror_bytes_per_s
    last_s = run.result.up_s.last_s
    return PowerPlan(
        stagger_s=stagger_s,
        share=peak_share(run.outcome.samples, capacity_bytes_per_s=sources * network.goodput),
        last_up_s=float("inf") if last_s is None else last_s,
        power_on_s=tuple(float(time_s) for time_s in draw_fleet(run.scenario).phases["power_on"]),
        racks=tuple(int(rack) for rack in run.outcome.fleet.racks),
    )
