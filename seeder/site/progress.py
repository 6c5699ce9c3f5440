"""How long work shows itself: a bar on a terminal, a plain line a file elsewhere, nothing where nobody looks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Protocol, TextIO

from rich import progress as bars
from rich.console import Console

from swarmboot.text.units import format_size


class Progress(Protocol):
    """Shows the work on one file after the other."""

    def task(self, label: str, total_bytes: int) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        """Show one file; the function given takes the bytes done since it was last called."""


class NoProgress:
    """Shows nothing."""

    @contextlib.contextmanager
    def task(self, label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        """Show nothing."""
        yield lambda _done_bytes: None


class PlainProgress:
    """Shows a line for each file once it is done."""

    def __init__(self, file: TextIO, verb: str) -> None:
        self._file = file
        self._verb = verb
        self._said = ""

    @contextlib.contextmanager
    def task(self, label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """Print the file's name and size when it is done, once also if it is gone through twice in a row."""
        yield lambda _done_bytes: None
        line = f"{self._verb} {label} ({format_size(total_bytes)})"
        if line != self._said:
            print(line, file=self._file, flush=True)
        self._said = line


class BarProgress:
    """Shows a bar that vanishes when the file is done."""

    def __init__(self, console: Console, verb: str) -> None:
        self._console = console
        self._verb = verb

    @contextlib.contextmanager
    def task(self, label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """Show a bar for the file until it is done."""
        columns = (
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.DownloadColumn(binary_units=True),
            bars.TransferSpeedColumn(),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(f"{self._verb} {label}", total=total_bytes)
            yield lambda done_bytes: bar.advance(task, done_bytes)


def choose_progress(verb: str, *, is_quiet: bool) -> Progress:
    """Return the progress that fits standard error: a bar on a terminal, plain lines otherwise, none if quiet."""
    if is_quiet:
        return NoProgress()
    if sys.stderr.isatty():
        return BarProgress(Console(stderr=True), verb)
    return PlainProgress(sys.stderr, verb)
