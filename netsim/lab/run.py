"""Run one strategy on a lab of its own: build, start, time, count, end, verify, remove.

The order of events is the same for every strategy, so that their figures compare. Times come from the kernel: a
program's end as its pidfd reports it, or the change time of the file by which a program says that its node is
complete. Nothing is verified, and so no processor is taken, before the last node is complete.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from netsim.lab.cargo import cargo_bytes, check_memory, digest, holds_all, load_cargo, needed_bytes
from netsim.lab.layout import lay_out
from netsim.lab.namespaces import RAM_FOLDER, Network, make_directory, sweep_leftovers, this_run
from netsim.lab.processes import Crew, failure_of
from netsim.lab.result import LabResult, spread_of
from netsim.lab.stage import Stage
from netsim.lab.strategies import strategy_named
from swarmboot.errors import LabError, PrivilegeError, ToolMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsim.lab.layout import Node
    from netsim.lab.plan import LabPlan
    from netsim.lab.processes import Child
    from netsim.lab.stage import NodeProgram, Strategy

_LOOK_EVERY_S = 0.05
_TOOLS = {"ip": "iproute2", "tc": "iproute2", "nsenter": "util-linux", "setpriv": "util-linux"}


class Watcher(Protocol):
    """Whoever follows a run while it goes on."""

    def said(self, line: str) -> None:
        """Take note of one event, as a line for people."""

    def progressed(self, complete: int, nodes: int) -> None:
        """Take note that so many of the nodes are complete."""


@dataclass(slots=True)
class _Runner:
    """One node while the run goes on."""

    node: Node
    program: NodeProgram
    start_at_s: float
    child: Child | None = None
    done_s: float | None = None
    is_killed: bool = False

    def look(self) -> None:
        """Note the moment the node became complete; raise LabError if its program failed."""
        if self.child is None or self.done_s is not None or self.is_killed:
            return
        if self.program.done_path is not None:
            try:
                self.done_s = self.program.done_path.stat().st_ctime_ns / 1e9
            except FileNotFoundError:
                if self.child.exit_status is not None:
                    raise failure_of(self.child) from None
        elif self.child.exit_status is not None:
            if self.child.exit_status != 0:
                raise failure_of(self.child)
            self.done_s = self.child.ended_s

    @property
    def is_settled(self) -> bool:
        """Return whether nothing more is to come from this node."""
        return self.is_killed or self.done_s is not None


@dataclass(slots=True)
class _Race:
    """The timed part of a run: from the first node's start to the last one's completion."""

    stage: Stage
    strategy: Strategy
    watcher: Watcher
    runners: list[_Runner] = field(default_factory=list)
    started_s: float = 0.0

    def go(self, bound_s: float) -> None:
        """Start every node when its time comes and return when all are complete; raise LabError past the bound."""
        stage = self.stage
        programs = [(node, self.strategy.join(stage, node)) for node in stage.layout.nodes]
        pending = sorted(stage.plan.casualties, key=lambda casualty: casualty.after_s)
        self.started_s = time.time()
        self.runners = [
            _Runner(node, program, self.started_s + node.index * stage.plan.stagger_s) for node, program in programs
        ]
        seen = 0
        while not all(runner.is_settled for runner in self.runners):
            now_s = time.time()
            while pending and now_s >= self.started_s + pending[0].after_s:
                self._strike(pending.pop(0).node)
            self._start_due(now_s)
            stage.crew.wait(_LOOK_EVERY_S)
            for runner in self.runners:
                runner.look()
            complete = sum(runner.done_s is not None for runner in self.runners)
            if complete > seen:
                self.watcher.progressed(complete, len(self.runners))
                seen = complete
            if now_s - self.started_s > bound_s:
                raise self._too_long(bound_s, complete)

    def _start_due(self, now_s: float) -> None:
        for runner in self.runners:
            if runner.child is None and not runner.is_killed and now_s >= runner.start_at_s:
                node = runner.node
                log_path = self.stage.directory / f"node{node.index}.log"
                runner.child = self.stage.crew.start(
                    f"node {node.index}", runner.program.argv, netns=node.netns, log_path=log_path
                )

    def _strike(self, index: int | None) -> None:
        """Kill the node of that index, or every program of the server."""
        if index is None:
            nodes = {id(runner.child) for runner in self.runners}
            for child in self.stage.crew.children:
                if id(child) not in nodes:
                    self.stage.crew.kill(child)
            self.watcher.said("killed the server")
            return
        runner = self.runners[index]
        runner.is_killed = runner.done_s is None
        if runner.child is not None:
            self.stage.crew.kill(runner.child)
        self.watcher.said(f"killed node {index}")

    def _too_long(self, bound_s: float, complete: int) -> LabError:
        late = next(runner for runner in self.runners if not runner.is_settled)
        words = late.child.last_words() if late.child else "not started"
        return LabError(
            f"the {self.stage.plan.strategy} run passed its time bound of {bound_s:.0f} s",
            expected=f"{len(self.runners)} complete nodes",
            found=f"{complete}; node {late.node.index} last said: {words}",
            hint="raise --timeout, or see why it is slow",
        )


def run_strategy(plan: LabPlan, watcher: Watcher) -> LabResult:
    """Run a plan and return what it measured.

    Raises PrivilegeError when not root, ToolMissingError for a missing program, SpaceError for too little memory,
    MalformedSettingError for an impossible plan, and LabError when a program fails or the time bound passes. However
    it ends, nothing of it remains.
    """
    plan.check()
    strategy = strategy_named(plan.strategy)
    _check_machine(plan, strategy)
    swept = sweep_leftovers()
    if swept:
        watcher.said(f"removed what {swept} killed lab runs had left")
    run = this_run()
    layout = lay_out(plan, run)
    load_average = os.getloadavg()[0]
    with make_directory(run) as name, Network(layout, plan.rates) as network, Crew() as crew:
        directory = Path(name)
        stage = Stage(plan, layout, load_cargo(plan, directory), directory, crew)
        for node in layout.nodes:
            stage.node_folder(node).mkdir()
        strategy.serve(stage)
        watcher.said(f"{plan.strategy}: {plan.nodes} nodes start")
        size_bytes = sum(path.stat().st_size for path in _wanted(stage, strategy))
        sent_before, racks_before = network.server_sent_bytes(), network.rack_bytes()
        race = _Race(stage, strategy, watcher)
        race.go(plan.bound_s(size_bytes))
        server_bytes = network.server_sent_bytes() - sent_before
        rack_bytes = _difference(network.rack_bytes(), racks_before)
        crew.stop()
        verified = _verify(race, _wanted(stage, strategy))
        return _result(race, size_bytes, server_bytes, rack_bytes, verified, load_average)


def _check_machine(plan: LabPlan, strategy: Strategy) -> None:
    if os.geteuid() != 0:
        raise PrivilegeError(
            "the lab makes network namespaces", expected="root", found=f"user {os.geteuid()}", hint="run it with sudo"
        )
    for program, package in {**_TOOLS, **strategy.tools}.items():
        if shutil.which(program) is None:
            raise ToolMissingError(f"the lab needs the program {program}", hint=f"apt-get install {package}")
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available_bytes = int(fields["MemAvailable"].split()[0]) * 1024
    check_memory(needed_bytes(plan.nodes, cargo_bytes(plan)), available_bytes, shutil.disk_usage(RAM_FOLDER).free)


def _wanted(stage: Stage, strategy: Strategy) -> tuple[Path, ...]:
    return stage.cargo.images if strategy.moves_whole_release else (stage.cargo.image,)


def _verify(race: _Race, wanted: tuple[Path, ...]) -> int:
    """Return how many nodes hold exactly the published bytes."""
    digests = frozenset((path.stat().st_size, digest(path)) for path in wanted)
    complete = [runner for runner in race.runners if runner.done_s is not None]
    return sum(holds_all(race.stage.node_folder(runner.node), digests) for runner in complete)


def _difference(
    after: Mapping[str, Mapping[str, int]], before: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    return {rack: {key: count - before[rack][key] for key, count in counts.items()} for rack, counts in after.items()}


def _reports(race: _Race) -> tuple[dict[str, object], ...]:
    paths = [runner.program.report_path for runner in race.runners if runner.done_s is not None]
    return tuple(json.loads(path.read_text()) for path in paths if path is not None and path.is_file())


def _result(
    race: _Race,
    size_bytes: int,
    server_bytes: int,
    rack_bytes: Mapping[str, Mapping[str, int]],
    verified: int,
    load_average: float,
) -> LabResult:
    plan, crew = race.stage.plan, race.stage.crew
    done_s = tuple(None if runner.done_s is None else runner.done_s - race.started_s for runner in race.runners)
    node_s = tuple(
        None if runner.done_s is None or runner.child is None else runner.done_s - runner.child.started_s
        for runner in race.runners
    )
    spread = spread_of([time_s for time_s in done_s if time_s is not None] or [0.0])
    node_children = [runner.child for runner in race.runners if runner.child is not None]
    limit_s = plan.limit_s(size_bytes)
    return LabResult(
        strategy=plan.strategy,
        nodes=plan.nodes,
        rate_bytes_per_s=plan.rate_bytes_per_s,
        size_bytes=size_bytes,
        first_s=spread.first_s,
        median_s=spread.median_s,
        last_s=spread.last_s,
        limit_s=limit_s,
        ratio=spread.last_s / limit_s,
        server_bytes=server_bytes,
        server_copies=server_bytes / size_bytes,
        verified_nodes=verified,
        cpu_s=crew.cpu_s(),
        peak_rss_bytes=max((child.peak_rss_bytes for child in node_children), default=0),
        server_rate_bytes_per_s=plan.rates.server_bytes_per_s,
        stagger_s=plan.stagger_s,
        racks=plan.racks,
        rack_uplink_bytes_per_s=plan.rack_uplink_bytes_per_s,
        done_s=done_s,
        node_s=node_s,
        rack_uplink_bytes=rack_bytes,
        server_cpu_s=crew.cpu_s() - sum(child.cpu_s for child in node_children),
        load_average=load_average,
        reports=_reports(race),
    )
