"""A thousand boots, rack after rack: random kills, late comers and slow links from one seed.

What fate has for a rack is drawn first (`draw_rack`, pure) and played then. A node that is killed before it has booted
is no boot; every other one counts, and has one try.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from netsim.lab.chaos.depot import build_depot
from netsim.lab.chaos.play import keep_logs, open_rack, plan_of
from netsim.lab.chaos.rack import GaveUpError
from netsim.lab.chaos.verdict import Terms
from netsim.lab.rack.namespaces import make_directory, sweep_leftovers, this_run
from netsim.lab.run.run import check_machine
from swarmboot.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netsim.lab.chaos.depot import Depot
    from netsim.lab.chaos.rack import Boot, Rack
    from netsim.lab.chaos.verdict import Ending

MIN_RACK, MAX_RACK = 8, 12
FIRST_TRY = 0.999
"""So many boots of all must succeed at the first try."""
_MAX_KILLED, _MAX_LATE, _MAX_SLOW = 2, 3, 2
_LATEST_S = 3.0
_KILLED_S = (0.3, 3.5)
_SLOWNESS = (2.0, 4.0)
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Fate:
    """What one node is in for. Seconds count from the rack's start, and from the node's own for `killed_s`."""

    start_s: float = 0.0
    slowness: float = 1.0
    """By how much its link is slower than the others'."""
    killed_s: float | None = None


def draw_rack(random: Random, nodes: int) -> tuple[Fate, ...]:
    """Return a fate for each node of a rack: most have none, some are killed, late or slow, or more than one."""
    killed, late, slow = (
        frozenset(random.sample(range(nodes), min(nodes, random.randint(0, most))))
        for most in (_MAX_KILLED, _MAX_LATE, _MAX_SLOW)
    )
    return tuple(
        Fate(
            start_s=random.uniform(0.1, _LATEST_S) if index in late else 0.0,
            slowness=random.uniform(*_SLOWNESS) if index in slow else 1.0,
            killed_s=random.uniform(*_KILLED_S) if index in killed else None,
        )
        for index in range(nodes)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One boot that did not succeed: where it can be found again, and why."""

    rack: int
    node: str
    fate: Fate
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakResult:
    """All racks of one soak. Times in seconds, each node's from its own start."""

    seed: int
    racks: int
    boots: int
    booted: int
    killed: int
    wrong: int
    late: int
    slow: int
    median_s: float
    p99_s: float
    last_s: float
    took_s: float
    failures: tuple[Failure, ...]

    @property
    def first_try(self) -> float:
        """Return how many of all boots succeeded at the first try, from 0 to 1."""
        return self.booted / self.boots if self.boots else 0.0

    @property
    def has_held(self) -> bool:
        """Return whether enough boots succeeded and no image was a wrong one."""
        return self.first_try >= FIRST_TRY and not self.wrong

    def as_json(self) -> dict[str, object]:
        """Return the result as JSON-ready values."""
        return {**asdict(self), "first_try": round(self.first_try, 5)}


def table_of(result: SoakResult) -> str:
    """Return the result as lines of Markdown, as the docs have it."""
    counts = f"| {result.boots} in {result.racks} racks | {result.booted} ({100 * result.first_try:.2f} %)"
    others = f" | {result.killed} | {result.late} | {result.slow} | {result.wrong}"
    times = f" | {result.median_s:.2f} | {result.p99_s:.2f} | {result.last_s:.2f} |"
    lines = [
        "| boots | at the first try | killed besides | late | slow | wrong images | median s | p99 s | last s |",
        "|---|---|---|---|---|---|---|---|---|",
        counts + others + times,
        *(f"- rack {failure.rack}: {failure.why}" for failure in result.failures),
    ]
    return "\n".join(lines)


class Tally:
    """Counts endings, rack by rack."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._began_s = time.monotonic()
        self._endings: list[tuple[int, Fate, Ending]] = []
        self.racks = 0

    def add(self, fates: Sequence[Fate], endings: Sequence[Ending]) -> None:
        """Take note of one more rack."""
        self._endings += [(self.racks, fate, ending) for fate, ending in zip(fates, endings, strict=True)]
        self.racks += 1

    @property
    def boots(self) -> int:
        """Return how many boots count so far: all but those of killed nodes."""
        return sum(not ending.is_killed for _, _, ending in self._endings)

    def result(self) -> SoakResult:
        """Return what there is so far."""
        counted = [each for each in self._endings if not each[2].is_killed]
        seconds = sorted(ending.seconds for _, _, ending in counted if ending.seconds is not None)
        return SoakResult(
            seed=self._seed,
            racks=self.racks,
            boots=len(counted),
            booted=sum(not ending.fault for _, _, ending in counted),
            killed=len(self._endings) - len(counted),
            wrong=sum(ending.is_wrong for _, _, ending in self._endings),
            late=sum(fate.start_s > 0 for _, fate, _ in counted),
            slow=sum(fate.slowness > 1 for _, fate, _ in counted),
            median_s=round(statistics.median(seconds or [0.0]), 3),
            p99_s=round(seconds[int(0.99 * (len(seconds) - 1))], 3) if seconds else 0.0,
            last_s=round(max(seconds, default=0.0), 3),
            took_s=round(time.monotonic() - self._began_s, 1),
            failures=tuple(
                Failure(rack=rack, node=ending.name, fate=fate, why=ending.fault)
                for rack, fate, ending in self._endings
                if ending.fault
            ),
        )


def soak_racks(boots: int, terms: Terms, *, logs: Path | None, told: Callable[[SoakResult], None]) -> SoakResult:
    """Boot whole racks until so many boots count, and return the whole; `told` hears how it stands after each rack.

    `logs` is a folder for what the programs of racks with a failed boot have said. Raises as `run.check_machine` does.
    """
    plan = plan_of(terms, 0)
    plan.check()
    check_machine(plan, {})
    sweep_leftovers()
    tally = Tally(terms.seed)
    with make_directory(this_run()) as name:
        depot = build_depot(Path(name), terms.size_bytes)
        while tally.boots < boots:
            _soak_rack(tally, depot, terms, logs=logs)
            told(tally.result())
    return tally.result()


def _soak_rack(tally: Tally, depot: Depot, terms: Terms, *, logs: Path | None) -> None:
    label = f"{terms.seed} {tally.racks}"
    random = Random(label)
    nodes = random.randint(MIN_RACK, MAX_RACK)
    fates = draw_rack(random, nodes)
    own = Terms(nodes=nodes, rate_bytes_per_s=terms.rate_bytes_per_s, size_bytes=terms.size_bytes, seed=terms.seed)
    with open_rack(own, depot, label=label, patience_s=_PATIENCE_S) as rack:
        try:
            _play(rack, fates)
        except (GaveUpError, LabError) as error:
            rack.faults.append(str(error))
        endings = rack.endings()
        tally.add([fates[boot.place.index] for boot in rack.boots], endings)
        if logs is not None and (rack.faults or any(ending.fault for ending in endings)):
            keep_logs(rack, logs / f"rack-{tally.racks - 1}")


def _play(rack: Rack, fates: Sequence[Fate]) -> None:
    for place, fate in zip(rack.layout.nodes, fates, strict=True):
        if fate.slowness > 1:
            rack.network.slow_down(place, rack.terms.rate_bytes_per_s / fate.slowness)
    rack.start_seeder()
    began_s = time.monotonic()
    events = sorted(
        [(fate.start_s, index, "start") for index, fate in enumerate(fates)]
        + [(fate.start_s + fate.killed_s, index, "kill") for index, fate in enumerate(fates) if fate.killed_s]
    )
    boots: dict[int, Boot] = {}
    for at_s, index, event in events:
        rack.pause(max(0.0, began_s + at_s - time.monotonic()))
        if event == "start":
            boots[index] = rack.start(rack.layout.nodes[index])
            rack.boots = [boots[each] for each in sorted(boots)]
        else:
            rack.kill(boots[index])
    rack.finish()
