"""Play rows: a fresh rack for each, and nothing of it left behind, however it ends."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from netsim.lab.chaos.depot import build_depot
from netsim.lab.chaos.rack import GaveUpError, Rack
from netsim.lab.chaos.verdict import FAULT_FREE, Terms, bound_s, judge
from netsim.lab.rack.layout import lay_out
from netsim.lab.rack.namespaces import Network, make_directory, sweep_leftovers, this_run
from netsim.lab.rack.plan import LabPlan
from netsim.lab.rack.processes import Crew
from netsim.lab.run.run import check_machine
from swarmboot.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from netsim.lab.chaos.depot import Depot
    from netsim.lab.chaos.rows.row import Row
    from netsim.lab.chaos.verdict import Outcome

_MIRROR_TOOLS = {"nginx": "nginx-light"}
_PATIENCE_FACTOR = 1.5
_FAULT_FREE_PATIENCE_S = 120.0


def plan_of(terms: Terms, guests: int) -> LabPlan:
    """Return the plan of a rack: guests take the places after the nodes'."""
    return LabPlan("swarmboot", terms.nodes, terms.rate_bytes_per_s, terms.size_bytes, warm=guests)


def play_all(rows: Sequence[Row], terms: Sequence[Terms], *, logs: Path | None = None) -> Iterator[Outcome]:
    """Play every row with every seed, the fault-free row first each time, and yield each outcome at once.

    `logs` is a folder for what the programs have said. Raises as `run.check_machine` does, and
    LabError if a rack cannot be built.
    """
    tools = _MIRROR_TOOLS if any(row.has_mirror for row in rows) else {}
    most = plan_of(terms[0], max(row.guests for row in rows))
    most.check()
    check_machine(most, tools)
    sweep_leftovers()
    with make_directory(this_run()) as name:
        depot = build_depot(Path(name), terms[0].size_bytes)
        for each in terms:
            fault_free_s: float | None = None
            for row in rows:
                outcome = play_row(row, each, depot, fault_free_s=fault_free_s, logs=logs)
                if row.name == FAULT_FREE:
                    fault_free_s = outcome.last_s
                yield outcome


def play_row(row: Row, terms: Terms, depot: Depot, *, fault_free_s: float | None, logs: Path | None) -> Outcome:
    """Return how one row went on a rack of its own."""
    patience_s = _FAULT_FREE_PATIENCE_S
    if fault_free_s is not None:
        patience_s = _PATIENCE_FACTOR * bound_s(fault_free_s, terms.plain_s)
    label = f"{terms.seed} {row.name}"
    with open_rack(terms, depot, label=label, patience_s=patience_s, guests=row.guests) as rack:
        rack.allowed = depot.digests(row.releases)
        try:
            row.play(rack)
        except GaveUpError:
            rack.faults.append(f"given up after {rack.patience_s:.0f} s")
        except LabError as error:
            rack.faults.append(str(error))
        outcome = judge(
            row.name,
            terms,
            rack.endings(),
            fault_free_s=fault_free_s,
            plain_s=rack.plain_s,
            server_bytes=rack.server_bytes(),
            faults=rack.faults,
        )
        if logs is not None:
            keep_logs(rack, logs / f"{row.name}-{terms.seed}")
        return outcome


@contextmanager
def open_rack(terms: Terms, depot: Depot, *, label: str, patience_s: float, guests: int = 0) -> Iterator[Rack]:
    """Give a rack of its own, with its own copy of the site; all of it is gone afterwards.

    `label` seeds its fate. Raises LabError if the network cannot be built.
    """
    plan, run = plan_of(terms, guests), this_run()
    layout = lay_out(plan, run)
    with make_directory(run) as name, Network(layout, plan.rates) as network, Crew() as crew:
        directory = Path(name)
        shutil.copytree(depot.site, directory / "site")
        yield Rack(
            terms=terms,
            depot=depot,
            layout=layout,
            network=network,
            crew=crew,
            directory=directory,
            random=Random(label),
            patience_s=patience_s,
            plain_s=terms.plain_s,
            allowed=depot.digests(("current",)),
        )


def keep_logs(rack: Rack, folder: Path) -> None:
    """Copy what a rack's programs have said, and the nodes' reports."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in [*rack.directory.glob("*.log"), *rack.directory.glob("*.json")]:
        shutil.copy(path, folder)
