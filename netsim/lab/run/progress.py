"""How a run shows itself on standard error: one live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netsim.lab.rack.plan import LabPlan
    from netsim.lab.run.race import Watcher

_MAX_LINES = 10


class PlainLines:
    """A watcher that prints a line for an event, and about ten for the nodes' completion however many they are."""

    def __init__(self, strategy: str) -> None:
        self._strategy = strategy
        self._began_s = time.monotonic()
        self._shown = 0

    def said(self, line: str) -> None:
        """Print the line."""
        print(f"lab: {line}", file=sys.stderr, flush=True)

    def progressed(self, complete: int, nodes: int) -> None:
        """Print how many nodes are complete, when a tenth more of them are."""
        if complete == nodes or complete - self._shown >= nodes / _MAX_LINES:
            self._shown = complete
            elapsed_s = time.monotonic() - self._began_s
            self.said(f"{self._strategy}: {complete} of {nodes} nodes complete, {elapsed_s:.1f} s into the run")


class Bar:
    """A watcher that moves a Rich bar."""

    def __init__(self, strategy: str, nodes: int, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task(strategy, total=nodes)

    def said(self, line: str) -> None:
        """Print the line above the bar."""
        self._progress.console.print(line, highlight=False)

    def progressed(self, complete: int, nodes: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=complete, total=nodes)


@contextlib.contextmanager
def watching(plan: LabPlan) -> Iterator[Watcher]:
    """Give the watcher that suits standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainLines(plan.strategy)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("nodes"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(plan.strategy, plan.nodes, progress)
