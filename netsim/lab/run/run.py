"""Run one strategy on a lab of its own: build, start, time, count, end, verify, remove.

The order of events is the same for every strategy, so that their figures compare. Nothing is verified before the last
node is complete, and no figure comes from what a program says about itself, but for the nodes' own reports.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from netsim.lab.rack.layout import lay_out
from netsim.lab.rack.namespaces import (
    RAM_FOLDER,
    SEARCH_PATH,
    Network,
    make_directory,
    sweep_leftovers,
    this_run,
)
from netsim.lab.rack.processes import Crew
from netsim.lab.run.payload import check_memory, digest, holds_all, load_payload, needed_bytes, payload_bytes
from netsim.lab.run.race import Race
from netsim.lab.run.result import Cost, LabResult, Traffic, result_of
from netsim.lab.strategies.by_name import strategy_named
from netsim.lab.strategies.strategy import RunContext
from swarmboot.errors import PrivilegeError, ToolMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsim.lab.rack.plan import LabPlan
    from netsim.lab.run.race import Watcher
    from netsim.lab.strategies.strategy import Strategy

_TOOLS = {"ip": "iproute2", "tc": "iproute2", "nsenter": "util-linux", "setpriv": "util-linux"}


def run_strategy(plan: LabPlan, watcher: Watcher, strategy: Strategy | None = None) -> LabResult:
    """Run a plan by the strategy that it names, or by the one given, and return what it measured.

    Raises PrivilegeError when not root, ToolMissingError for a missing program, SpaceError for too little memory,
    MalformedSettingError for an impossible plan, and LabError when a program fails or the time bound passes. However
    it ends, nothing of it remains.
    """
    plan.check()
    strategy = strategy or strategy_named(plan.strategy)
    check_machine(plan, strategy.tools)
    _sweep(watcher)
    run = this_run()
    layout = lay_out(plan, run)
    load_average = os.getloadavg()[0]
    with make_directory(run) as name, Network(layout, plan.rates) as network, Crew() as crew:
        context = RunContext(plan, layout, load_payload(plan, Path(name)), Path(name), crew)
        for node in layout.everyone:
            context.node_folder(node).mkdir()
        strategy.serve(context)
        wanted = context.payload.images if strategy.moves_whole_release else (context.payload.image,)
        size_bytes = sum(path.stat().st_size for path in wanted)
        race = Race(context, strategy, watcher)
        race.warm_up(plan.bound_s(size_bytes))
        watcher.said(f"{plan.strategy}: {plan.nodes} nodes start")
        before = Traffic(network.server_sent_bytes(), network.rack_bytes())
        race.go(plan.bound_s(size_bytes))
        traffic = Traffic(network.server_sent_bytes(), network.rack_bytes()).since(before)
        crew.stop()
        return result_of(
            plan,
            size_bytes=size_bytes,
            arrivals=race.arrivals(),
            traffic=traffic,
            cost=_cost(race, crew),
            verified_nodes=_verify(race, wanted),
            load_average=load_average,
            reports=_reports(race),
            ready_s=[each["ready_unix_s"] - race.started_s for each in _ready(race)],
            read_s=[each["ready_unix_s"] - each["began_unix_s"] for each in _ready(race)],
            pivots_ms=_pivots_ms(race),
            loader_s=_loader_s(context),
        )


def _sweep(watcher: Watcher) -> None:
    """Remove what killed runs have left, and say so."""
    swept = sweep_leftovers()
    if swept:
        watcher.said(f"removed what {swept} killed lab runs had left")


def check_machine(plan: LabPlan, tools: Mapping[str, str]) -> None:
    """Raise PrivilegeError, ToolMissingError or SpaceError if this machine cannot run a plan.

    `tools` are the programs that are needed besides the lab's own, and the Debian package of each.
    """
    if os.geteuid() != 0:
        raise PrivilegeError(
            "the lab makes network namespaces", expected="root", found=f"user {os.geteuid()}", hint="run it with sudo"
        )
    for program, package in {**_TOOLS, **tools}.items():
        if shutil.which(program, path=SEARCH_PATH) is None:
            raise ToolMissingError(f"the lab needs the program {program}", hint=f"apt-get install {package}")
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available_bytes = int(fields["MemAvailable"].split()[0]) * 1024
    check_memory(
        needed_bytes(plan.nodes + plan.warm, payload_bytes(plan)), available_bytes, shutil.disk_usage(RAM_FOLDER).free
    )


def _verify(race: Race, wanted: tuple[Path, ...]) -> int:
    """Return how many nodes hold exactly the published bytes."""
    digests = frozenset((path.stat().st_size, digest(path)) for path in wanted)
    complete = [runner for runner in race.runners if runner.done_s is not None]
    return sum(holds_all(race.context.node_folder(runner.node), digests) for runner in complete)


def _cost(race: Race, crew: Crew) -> Cost:
    """Return what the programs took; all of them have ended."""
    children = race.children()
    return Cost(
        cpu_s=crew.cpu_s(),
        server_cpu_s=crew.cpu_s() - sum(child.cpu_s for child in children),
        peak_rss_bytes=max((child.peak_rss_bytes for child in children), default=0),
    )


def _ready(race: Race) -> list[dict[str, float]]:
    """Return when each node began to read what a boot reads, and had read it."""
    paths = [runner.program.ready_path for runner in race.runners]
    return [json.loads(path.read_text()) for path in paths if path is not None and path.is_file()]


def _pivots_ms(race: Race) -> list[float]:
    """Return how long each node took to put its whole files in place."""
    paths = [
        race.context.node_folder(runner.node) / "lazy.json" for runner in race.runners if runner.program.ready_path
    ]
    found = [json.loads(path.read_text())["exchange_ms"] for path in paths if path.is_file()]
    return [each for each in found if each is not None]


def _reports(race: Race) -> tuple[dict[str, object], ...]:
    paths = [runner.program.report_path for runner in race.runners if runner.done_s is not None]
    return tuple(json.loads(path.read_text()) for path in paths if path is not None and path.is_file())


def _loader_s(context: RunContext) -> tuple[float, ...]:
    """Return what the programs took to start that stand for firmware, if there are any."""
    return tuple(json.loads(path.read_text())["loader_s"] for path in context.directory.glob("*.stage0.json"))
