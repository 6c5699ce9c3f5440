"""`make demo-lazy`: two machines boot the same root side by side, one of them before all of it is there.

Real programs in namespaces of their own, as in the lab: what is mounted is a real squashfs, over FUSE and a loop device
on the lazy one. A first node records what programs of a boot read of it, and both replay that. Ends by itself.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from netsim.demo.release import sample_release
from netsim.lab.rack.namespaces import RAM_FOLDER
from netsim.lab.rack.plan import LAZY, LabPlan
from netsim.lab.rack.signals import stopped_by_signals
from netsim.lab.run.run import run_strategy
from netsim.lab.strategies import side_by_side
from netsim.lab.strategies.programs.lazy_node import reads_of
from swarmboot.cli import exit_for
from swarmboot.errors import IntegrityError, SwarmbootError
from swarmboot.text.units import format_rate, format_size, parse_rate

if TYPE_CHECKING:
    from netsim.lab.run.result import LabResult

_INTERRUPTED = 130
_LOOK_S = 0.05
_NAMES = {side_by_side.WHOLE: "swarmboot.lazy=off", side_by_side.LAZY: "swarmboot.lazy=on"}
_RECORDING_RATE = "1gbit"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Quiet:
    """A watcher that says nothing."""

    def said(self, line: str) -> None:
        """Say nothing."""

    def progressed(self, complete: int, nodes: int) -> None:
        """Say nothing."""


class _Lines(_Quiet):
    """A watcher that says when a node has read its boot, which it sees by the files in which nodes say so."""

    def __init__(self, strategy: side_by_side.SideBySide) -> None:
        self._strategy = strategy
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def said(self, line: str) -> None:
        """Begin to look as the nodes start."""
        del line
        _say("both start")
        self._thread.start()

    def progressed(self, complete: int, nodes: int) -> None:
        """Say that one more has all of it."""
        _say(f"{complete} of {nodes} have all of it")

    def close(self) -> None:
        """Look no more."""
        self._is_over.set()

    def _look(self) -> None:
        seen: set[int] = set()
        while not self._is_over.wait(_LOOK_S):
            for node, path in list(self._strategy.ready_paths.items()):
                if node not in seen and path.exists():
                    seen.add(node)
                    _say(f"the one with {_NAMES[node]} has read what a boot reads")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rate", default="20mbit", show_default=True, metavar="RATE", help="Each machine's link.")
def main(rate: str) -> None:
    """Boot two machines side by side, one before all of its root is there (needs root).

    \b
    Example:
      python -m netsim.demo.lazy --rate 50mbit
    """
    try:
        with stopped_by_signals():
            _demo(parse_rate(rate))
    except KeyboardInterrupt:
        _say("stopped; everything the demo started has ended and its files are gone")
        sys.exit(_INTERRUPTED)
    except (SwarmbootError, OSError) as error:
        exit_for(error)


def _demo(rate_bytes_per_s: float) -> None:
    sample = sample_release(say=_say)
    with tempfile.TemporaryDirectory(dir=RAM_FOLDER, prefix="swarmboot-demo-lazy-") as name:
        release, trace = Path(name) / "release", Path(name) / "trace"
        release.mkdir()
        root = Path(shutil.copy(sample / "rootfs.squashfs", release))
        size_bytes = root.stat().st_size
        _say("a first node records what programs of a boot read of this root")
        once = LabPlan(LAZY, 1, parse_rate(_RECORDING_RATE), size_bytes, release=release)
        run_strategy(once, _Quiet(), side_by_side.Recording(trace))
        read_bytes = sum(size for _, _, size in reads_of(trace))
        share = f"{format_size(read_bytes)} of {format_size(size_bytes)}, {read_bytes / size_bytes:.0%}"
        _say(f"they read {share}; two machines now boot from it, with links of {format_rate(rate_bytes_per_s)}")
        strategy = side_by_side.SideBySide()
        lines = _Lines(strategy)
        try:
            plan = LabPlan(LAZY, 2, rate_bytes_per_s, size_bytes, release=release, trace=trace)
            result = run_strategy(plan, lines, strategy)
        finally:
            lines.close()
    Console(highlight=False).print(_table(result))
    if result.verified_nodes != result.nodes:
        raise IntegrityError(
            "images differ from the published ones", found=f"on {result.nodes - result.verified_nodes}"
        )


def _table(result: LabResult) -> Table:
    """Return a row a machine."""
    table = Table("", "has read its boot", "has all of it", title="seconds from the start", title_justify="left")
    for node, (ready_s, done_s) in enumerate(zip(result.ready_s, result.done_s, strict=True)):
        table.add_row(_NAMES[node], f"{ready_s:.1f}", "never" if done_s is None else f"{done_s:.1f}")
    return table


if __name__ == "__main__":
    main()
