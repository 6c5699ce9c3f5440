"""`swarmboot lab calibrate`: the same scenarios in the lab and in the simulator, and how far apart they are.

The simulator runs as a program, `swarmboot simulate --json`, on a scenario file made from the row. What belongs to the
machine is given to it, not predicted: how long programs take to start on these processors, and what verifying takes.
Leechers' own reports say that; for other programs it is measured before each run. What belongs to the network is
predicted. Both scatter, so a row is the median of several runs of either; what the lab measured is kept in a file
(`netsim.lab.calibration.record`), so that a calibration can be stopped and go on.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from netsim.fluid.round_trips import MANIFEST_ROUNDS
from netsim.lab.calibration.rows import Figures, Measurement, Row
from netsim.lab.run.progress import watching
from netsim.lab.strategies.stage0 import KERNEL_SHARE
from swarmboot.errors import LabError
from swarmboot.host.programs import run_program

if TYPE_CHECKING:
    from netsim.lab.calibration.record import Record
    from netsim.lab.run.result import LabResult

GOODPUT = 0.952
"""What headers leave of a rate as tc-tbf(8) counts it, Ethernet's preamble, gap and check not among it: measured with
one curl through one bucket."""

LATENCY_S = 0.004
"""One way: a cable of the lab has none, its bucket's queue some milliseconds while it is full."""

TOLERANCE = 0.10
RUNS = 3
SEEDS = (1, 2, 3, 4, 5)
"""A row is the median of so many runs of the lab, and of simulations of these seeds."""

STUCK_S = 60.0
"""libtorrent's default `min_reconnect_time`: so long is a node without peers whose connections have all been closed."""

_TRIES = 8
_SIMULATE_BOUND_S = 300


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row's outcome in both."""

    row: Row
    runs: tuple[Measurement, ...]
    simulated: Figures

    @property
    def lab(self) -> Figures:
        """Return the medians of the lab's runs."""
        return median_of([run.figures for run in self.runs])

    @property
    def errors(self) -> tuple[float, float, float]:
        """Return the simulator's relative errors of median, last and server bytes."""
        pairs = zip(asdict(self.simulated).values(), asdict(self.lab).values(), strict=True)
        median, last, sent = (simulated / lab - 1 for simulated, lab in pairs)
        return median, last, sent

    @property
    def worst(self) -> float:
        """Return the largest of the errors, without its sign."""
        return max(map(abs, self.errors))

    @property
    def spread(self) -> float:
        """Return the largest distance of a run of the lab from the row's medians, as a share of them."""
        middle: dict[str, float] = asdict(self.lab)
        return float(max(abs(asdict(run.figures)[name] / middle[name] - 1) for run in self.runs for name in middle))

    def as_json(self) -> dict[str, object]:
        """Return JSON-ready values."""
        names = ("median", "last", "server_bytes")
        return {
            "row": asdict(self.row),
            "lab": asdict(self.lab),
            "simulated": asdict(self.simulated),
            "error": dict(zip(names, self.errors, strict=True)),
            "spread": self.spread,
            "runs": [asdict(run) for run in self.runs],
        }


def median_of(figures: Sequence[Figures]) -> Figures:
    """Return the median of each figure."""
    columns = zip(*(asdict(each).values() for each in figures), strict=True)
    return Figures(*(statistics.median(column) for column in columns))


def measure(row: Row) -> Measurement:
    """Return one run of a row in the lab; raises as `netsim.lab.run.run.run_strategy` does.

    A run of the stock swarm in which a node was stuck is made again, and said on standard error: two stock peers that
    dial each other at one moment may close both connections, and a node that has lost its last one that way waits
    `STUCK_S` to dial again. The simulator does not know that.
    """
    from netsim.lab.run.run import run_strategy

    start_s = import_s() if row.strategy == "libtorrent" else 0.0
    plan = replace(row.plan, timeout_s=row.plan.bound_s(row.size_bytes) + STUCK_S)
    with watching(plan) as watcher, tempfile.NamedTemporaryFile("w", prefix="swarmboot-trace-") as trace:
        if row.read_share:
            trace.write(row.trace)
            trace.flush()
            plan = replace(plan, trace=Path(trace.name))
        for _ in range(_TRIES):
            measured = run_strategy(plan, watcher)
            if not is_stuck(measured):
                break
            watcher.said(f"a stock node had no peers for {STUCK_S:.0f} s: {row.label} is run once more")
    times = measured.median_s, measured.last_s
    if measured.ready_median_s is not None and measured.ready_last_s is not None:
        times = measured.ready_median_s, measured.ready_last_s
    figures = Figures(*times, measured.server_bytes)
    return Measurement(figures, phases_of(row, measured, start_s), measured.load_average)


def is_stuck(measured: LabResult) -> bool:
    """Return whether a stock node waited for libtorrent to dial again, while others, if any, had long been complete."""
    took_s = measured.last_s - (measured.first_s if measured.nodes > 1 else 2 * measured.limit_s)
    return measured.strategy == "libtorrent" and took_s > STUCK_S / 2


def measure_rows(
    rows: Iterable[Row], record: Record, *, runs: int = RUNS, until_s: float = float("inf")
) -> Iterator[Row]:
    """Run what the record lacks of `runs` runs a row, adding each; yield the row after every run.

    No run begins after `until_s` of `time.monotonic`.
    """
    for row in rows:
        while len(record.runs_of(row)) < runs and time.monotonic() < until_s:
            record.add(row, measure(row))
            yield row


def compare(row: Row, runs: Sequence[Measurement]) -> Comparison:
    """Return a row's comparison; raise LabError if the simulator fails."""
    names = runs[0].phases
    phases = {name: statistics.median(run.phases[name] for run in runs) for name in names}
    scenario = scenario_of(row, phases)
    seeds = SEEDS[:1] if row.strategy == "https" else SEEDS
    return Comparison(row, tuple(runs), median_of([simulate(scenario, row.strategy, seed) for seed in seeds]))


def import_s() -> float:
    """Return the processor seconds that a Python program with libtorrent takes to start on this machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = "import netsim.lab.strategies.programs.stock_peer, libtorrent; libtorrent.session()"
    command = [sys.executable, "-c", program]
    subprocess.run(command, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def phases_of(row: Row, measured: LabResult, start_s: float) -> dict[str, float]:
    """Return what the machine took besides the network, by the scenario's phases."""
    crowd = 1.0 if row.stagger_s else max(1.0, row.nodes / len(os.sched_getaffinity(0)))
    if row.strategy == "libtorrent":
        return {"loader": start_s * crowd}
    if not measured.reports:
        return {}
    names = {"leecher_start": "leecher_start", "manifest": "manifest", "hand_off": "verification"}
    found = {
        phase: statistics.median(report["phases"][measured_as] for report in measured.reports)
        for phase, measured_as in names.items()
    }
    if row.read_share:
        done_s = [done for done in measured.node_s if done is not None]  # of which each has left a report
        took_s = [sum(report["phases"].values()) for report in measured.reports]
        before_s = [done - took for done, took in zip(done_s, took_s, strict=True)]
        found |= {"loader": statistics.median(before_s), "hand_off": statistics.median(measured.read_s)}
    if row.stage0_bytes:
        found |= {"kernel": row.kernel_s, "loader": statistics.median(measured.loader_s)}
    return found


def scenario_of(row: Row, phases: dict[str, float]) -> str:
    """Return a row as a scenario file for the simulator, which adds the manifest's round trips to what is given."""
    manifest_s = phases.get("manifest", 0.0) - MANIFEST_ROUNDS * 2 * LATENCY_S
    phases = {**phases, "manifest": max(0.0, manifest_s)}
    kernel_bytes = round(row.stage0_bytes * KERNEL_SHARE)
    names = ("power_on", "firmware", "dhcp", "loader", "kernel", "leecher_start", "manifest", "hand_off", "services")
    lines = [
        f"nodes = {row.nodes}",
        'verify = "1000GB/s"',
        "[release]",
        f"read = {row.read_share or 1}\nunforeseen = 0",
        f'images = ["{row.size_bytes}B"]\nkernel = "{kernel_bytes}B"\ninitramfs = "{row.stage0_bytes - kernel_bytes}B"',
        "[network]",
        f'node_nic = "{row.rate_bytes_per_s:.0f}B/s"\nserver_nic = "{row.rate_bytes_per_s:.0f}B/s"',
        f'goodput = {GOODPUT}\nlatency = "{LATENCY_S:.6f}s"',
        "[phases]",
        *(f'{name} = "{phases.get(name, 0.0):.6f}s"' for name in names if name != "power_on"),
        f'power_on = "every {row.stagger_s:.6f}s"',
    ]
    if row.server_dies_s is not None:
        lines += ["[faults]", f'server_dies_at = "{row.server_dies_s:.6f}s"']
    return "\n".join(lines) + "\n"


def simulate(scenario: str, strategy: str, seed: int) -> Figures:
    """Return what the simulator says; raise LabError if it fails."""
    with tempfile.TemporaryDirectory(prefix="swarmboot-calibrate-") as folder:
        path = Path(folder) / "scenario.toml"
        path.write_text(scenario)
        flags = ["--scenario", str(path), "--strategy", strategy, "--seed", str(seed), "--json"]
        command = (sys.executable, "-m", "swarmboot", "simulate", *flags)
        said = run_program(command, bound_s=_SIMULATE_BOUND_S, failure=LabError, what="`swarmboot simulate`")
    found: dict[str, Any] = json.loads(said)[0]
    return Figures(found["up_s"]["p50_s"], found["up_s"]["last_s"], found["server_bytes"])


def table_of(comparisons: Sequence[Comparison]) -> Table:
    """Return one row a scenario: measured, simulated, error in percent."""
    within = sum(each.worst <= TOLERANCE for each in comparisons)
    table = Table(
        title=f"{within} of {len(comparisons)} rows within {TOLERANCE:.0%}",
        caption="lab / simulated, and the simulator's error; MB as sent by the server's interface; spread of the lab's "
        "own runs around their median, and how many; the machine's load before them",
        title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    table.add_column("scenario")
    for heading in COLUMNS[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for each in comparisons:
        table.add_row(*cells_of(each))
    return table


COLUMNS = ("scenario", "median s", "%", "last s", "%", "server MB", "%", "spread", "runs", "load", "")


def cells_of(each: Comparison) -> list[str]:
    """Return a row of the table as text."""
    median, last, sent = each.errors
    return [
        each.row.label,
        f"{each.lab.median_s:.2f}/{each.simulated.median_s:.2f}",
        f"{median:+.1%}",
        f"{each.lab.last_s:.2f}/{each.simulated.last_s:.2f}",
        f"{last:+.1%}",
        f"{each.lab.server_bytes / 1e6:.1f}/{each.simulated.server_bytes / 1e6:.1f}",
        f"{sent:+.1%}",
        f"{each.spread:.1%}",
        str(len(each.runs)),
        f"{statistics.median(run.load_average for run in each.runs):.1f}",
        "" if each.worst <= TOLERANCE else "x",
    ]


def markdown_of(comparisons: Sequence[Comparison]) -> str:
    """Return the table as docs/calibration.md has it."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(cells_of, comparisons)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
