"""The timed part of a run: from the first node's start to the last one's completion.

Times come from the kernel: a program's end as its pidfd reports it, or the change time of the file by which a program
says that its node is complete. It will not verify anything: that would take processors from those still racing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from netsim.lab.rack.processes import failure_of
from netsim.lab.run.result import Arrival
from swarmboot.errors import LabError

if TYPE_CHECKING:
    from netsim.lab.rack.layout import Node
    from netsim.lab.rack.processes import Child
    from netsim.lab.strategies.strategy import NodeProgram, RunContext, Strategy

_LOOK_EVERY_S = 0.05


class Watcher(Protocol):
    """Whoever follows a run while it goes on."""

    def said(self, line: str) -> None:
        """Take note of one event, as a line for people."""

    def progressed(self, complete: int, nodes: int) -> None:
        """Take note that so many of the nodes are complete."""


@dataclass(slots=True)
class Runner:
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
class Race:
    """The timed part of a run: from the first node's start to the last one's completion."""

    context: RunContext
    strategy: Strategy
    watcher: Watcher
    runners: list[Runner] = field(default_factory=list)
    warm: list[Runner] = field(default_factory=list)
    started_s: float = 0.0

    def warm_up(self, bound_s: float) -> None:
        """Start the warm nodes and return when all are complete; raise LabError past the bound."""
        began_s = time.time()
        self.warm = [Runner(node, self.strategy.join(self.context, node), began_s) for node in self.context.layout.warm]
        if self.warm:
            self.watcher.said(f"{self.context.plan.strategy}: {len(self.warm)} warm nodes boot first, untimed")
        while not all(runner.is_settled for runner in self.warm):
            self._step(self.warm, began_s, bound_s)

    def go(self, bound_s: float) -> None:
        """Start every node when its time comes and return when all are complete; raise LabError past the bound."""
        context = self.context
        programs = [(node, self.strategy.join(context, node)) for node in context.layout.nodes]
        pending = sorted(context.plan.casualties, key=lambda casualty: casualty.after_s)
        self.started_s = time.time()
        self.runners = [
            Runner(node, program, self.started_s + node.index * context.plan.stagger_s) for node, program in programs
        ]
        seen = 0
        while not all(runner.is_settled for runner in self.runners):
            while pending and time.time() >= self.started_s + pending[0].after_s:
                self._strike(pending.pop(0).node)
            complete = self._step(self.runners, self.started_s, bound_s)
            if complete > seen:
                self.watcher.progressed(complete, len(self.runners))
                seen = complete

    def _step(self, runners: list[Runner], began_s: float, bound_s: float) -> int:
        """Start who is due, wait a moment, look at everyone, and return how many are complete."""
        now_s = time.time()
        self._start_due(runners, now_s)
        self.context.crew.wait(_pause_s(runners))
        for runner in runners:
            runner.look()
        complete = sum(runner.done_s is not None for runner in runners)
        if now_s - began_s > bound_s:
            raise self._too_long(runners, bound_s, complete)
        return complete

    def arrivals(self) -> tuple[Arrival | None, ...]:
        """Return when each node started and was complete, in seconds after the first start; None for one killed."""
        return tuple(
            None
            if runner.done_s is None or runner.child is None
            else Arrival(runner.child.started_s - self.started_s, runner.done_s - self.started_s)
            for runner in self.runners
        )

    def children(self) -> list[Child]:
        """Return the programs of all nodes that have started, the warm ones' first."""
        return [runner.child for runner in (*self.warm, *self.runners) if runner.child is not None]

    def _start_due(self, runners: list[Runner], now_s: float) -> None:
        for runner in runners:
            if runner.child is None and not runner.is_killed and now_s >= runner.start_at_s:
                node = runner.node
                log_path = self.context.directory / f"node{node.index}.log"
                runner.child = self.context.crew.start(
                    f"node {node.index}", runner.program.argv, netns=node.netns, log_path=log_path
                )

    def _strike(self, index: int | None) -> None:
        """Kill the node of that index, or every program of the server."""
        if index is None:
            nodes = {child.name for child in self.children()}
            for child in self.context.crew.children:
                if child.name not in nodes:
                    self.context.crew.kill(child)
            self.watcher.said("killed the server")
            return
        runner = self.runners[index]
        runner.is_killed = runner.done_s is None
        if runner.child is not None:
            self.context.crew.kill(runner.child)
        self.watcher.said(f"killed node {index}")

    def _too_long(self, runners: list[Runner], bound_s: float, complete: int) -> LabError:
        late = next(runner for runner in runners if not runner.is_settled)
        words = late.child.last_words() if late.child else "not started"
        return LabError(
            f"the {self.context.plan.strategy} run passed its time bound of {bound_s:.0f} s",
            expected=f"{len(runners)} complete nodes",
            found=f"{complete}; node {late.node.index} last said: {words}",
            hint="raise --timeout, or see why it is slow",
        )


def _pause_s(runners: list[Runner]) -> float:
    """Return how long to wait before the next look: no longer than until the next node's start."""
    due_s = min((runner.start_at_s for runner in runners if runner.child is None), default=float("inf"))
    return min(_LOOK_EVERY_S, max(0.0, due_s - time.time()))
