"""What a simulation found: as a value with the keys others rely on, as JSON, as tables and as one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from netsim.scenario.arrays import Floats
from netsim.scenario.scenario import Scenario
from netsim.study.limit import limit_s
from netsim.study.simulation import Outcome
from swarmboot.text.units import format_duration
from swarmboot.wire.report import BOOTED, FAILED, PHASES, BootReport

LAZY = "swarmboot-lazy"
"""As the default, with images in use before they are whole."""
WITH_NEIGHBOURS, DEFAULT = SCATTERS = ("swarmboot+stage0", "swarmboot")
"""Stage 0 from neighbours too, and from the server alone, as `swarmboot serve` has it by default."""
PLAIN = "https"


@dataclass(frozen=True, slots=True)
class Quantiles:
    """How long something took over the nodes that did it, in seconds; None if none did."""

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    last_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """One strategy's result. Keys are the schema others rely on; times in seconds from the first power-on.

    `phases` maps a phase to how long it took the nodes, `up_s` says when they were up, `whole_s` when they had all of
    their images; `server_copies` is what servers
    and mirrors sent, headers counted, in units of everything one node needs; `stage0_from_neighbours` is how many nodes
    loaded stage 0 from one.
    """

    strategy: str
    nodes: int
    seed: int
    phases: Mapping[str, Quantiles]
    up_s: Quantiles
    whole_s: Quantiles
    server_bytes: int
    server_copies: float
    stage0_from_neighbours: int
    limit_s: float
    wall_s: float
    reports: tuple[BootReport, ...]

    @property
    def up(self) -> int:
        """Return how many nodes came up."""
        return sum(report.outcome == BOOTED for report in self.reports)

    def as_json(self) -> dict[str, object]:
        """Return JSON-ready values; times are rounded to a millisecond."""
        values = {**asdict(replace(self, reports=())), "reports": [report.values() for report in self.reports]}
        rounded = {key: _rounded(value) for key, value in values.items()}
        assert isinstance(rounded, dict)
        return rounded


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value


def quantiles(values_s: Floats) -> Quantiles:
    """Return the quantiles of the finite values."""
    there = values_s[np.isfinite(values_s)]
    if not len(there):
        return Quantiles(None, None, None, None)
    p50, p95, p99 = np.percentile(there, [50, 95, 99])
    return Quantiles(float(p50), float(p95), float(p99), float(there.max()))


def durations_s(outcome: Outcome) -> dict[str, Floats]:
    """Return how long each phase took each node; not finite where it did not end."""
    begins_s = np.zeros(outcome.fleet.nodes)
    durations = {}
    with np.errstate(invalid="ignore"):
        for phase, ends_s in zip(PHASES, outcome.ends_s, strict=True):
            durations[phase] = np.where(np.isfinite(ends_s), ends_s - begins_s, math.inf)
            begins_s = ends_s
    return durations


def result_of(scenario: Scenario, outcome: Outcome) -> SimulationResult:
    """Return what an outcome comes to."""
    durations = durations_s(outcome)
    return SimulationResult(
        strategy=outcome.strategy,
        nodes=scenario.nodes,
        seed=scenario.seed,
        phases={phase: quantiles(values) for phase, values in durations.items()},
        up_s=quantiles(outcome.up_s),
        whole_s=quantiles(outcome.whole_s),
        server_bytes=round(outcome.server_bytes),
        server_copies=outcome.server_bytes / scenario.release.total_bytes,
        stage0_from_neighbours=outcome.stage0_from_neighbours,
        limit_s=limit_s(_needed(scenario, outcome.strategy), outcome.fleet),
        wall_s=outcome.wall_s,
        reports=tuple(_report(outcome, node, durations) for node in range(scenario.nodes)),
    )


def _needed(scenario: Scenario, strategy: str) -> Scenario:
    """Return the scenario with no more images than nodes need to be up."""
    if strategy != LAZY:
        return scenario
    return replace(scenario, release=replace(scenario.release, images=(max(1, scenario.release.read_bytes),)))


def _report(outcome: Outcome, node: int, durations: Mapping[str, Floats]) -> BootReport:
    """Return the report that this node would have posted."""
    is_up = bool(np.isfinite(outcome.up_s[node]))
    counts = outcome.fetch_counts[node]
    return BootReport(
        node=node.to_bytes(16, "big").hex(),
        outcome=BOOTED if is_up else FAILED,
        sequence=1,
        rack=f"rack{outcome.fleet.racks[node]}",
        error="" if is_up else "did not come up",
        phases={phase: float(values[node]) for phase, values in durations.items() if np.isfinite(values[node])},
        bytes_from=outcome.bytes_from[node],
        hash_failures=counts.hash_failures,
        rescues=counts.rescues,
        finished_unix_s=float(outcome.up_s[node]) if is_up else 0.0,
    )


def sentence(results: Sequence[SimulationResult]) -> str:
    """Return what came of it, in one sentence: of the best of ours, with what the default and plain HTTPS give."""
    by_name = {result.strategy: result for result in results}
    best = next((by_name[name] for name in (*SCATTERS, *by_name) if name in by_name), results[0])
    if best.up_s.last_s is None:
        return f"None of {best.nodes} nodes comes up."
    nodes = f"{best.nodes} nodes are" if best.nodes > 1 else "1 node is"
    if best.up < best.nodes:
        nodes = f"{best.up} of {best.nodes} nodes are"
    parts = [f"{nodes} up in {format_duration(best.up_s.last_s)}{_by_trust(best)}"]
    default, lazy, plain = by_name.get(DEFAULT), by_name.get(LAZY), by_name.get(PLAIN)
    if default is not None and default is not best:
        parts.append(f"the default, origin-only, would {_would(default)}")
    if lazy is not None and lazy is not best:
        parts.append(f"that with swarmboot.lazy=on would {_would(lazy)}")
    if plain is not None and plain is not best:
        parts.append(f"plain HTTPS would {_would(plain)}")
    parts.append(f"the server sends {best.server_copies:.1f} copies")
    return "; ".join(parts) + "."


def _by_trust(best: SimulationResult) -> str:
    """Return by which trust in stage 0 the best of ours came up, and whether neighbours were of any use to it."""
    if best.strategy != WITH_NEIGHBOURS:
        return ""
    count = best.stage0_from_neighbours
    loads = f"{count} load stage 0 from neighbours" if count else "which the server alone serves as fast"
    return f" with --stage0-trust lan or ipxe-verify, {loads}"


def _would(result: SimulationResult) -> str:
    took_s = result.up_s.last_s
    return f"take {format_duration(took_s)}" if took_s and result.up == result.nodes else f"bring up {result.up}"
