"""Nodes that go on before all is there, beside nodes that do not: `python -m tests.bench.lazy`, as root.

Runs the lab twice over the same links, a random image of `--size` and a trace of `--share` of its pieces at random
places (or a `--release` and its `--trace`), and prints how the second compares with the first and with what is wanted;
exits with 1 if a figure is missed. Takes some three minutes; a figure of a busy machine is that of the machine.
`--stagger` has node I start I times that later: nodes that come late have most to catch up.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from netsim.lab.calibration.rows import Row
from netsim.lab.rack.plan import LAZY
from netsim.lab.run.progress import watching
from netsim.lab.run.result import LabResult
from netsim.lab.run.run import run_strategy
from swarmboot.text.units import parse_rate, parse_size

READY_MOST, WHOLE_MOST, COPIES_MOST = 0.15, 1.05, 1.06


def verdict(plain: LabResult, lazy: LabResult) -> list[tuple[str, float, float]]:
    """Return what was measured, the figure and what it may be at most."""
    assert lazy.ready_last_s is not None
    return [
        ("last node has read the trace / today's last node has all", lazy.ready_last_s / plain.last_s, READY_MOST),
        ("last node has all / today's", lazy.last_s / plain.last_s, WHOLE_MOST),
        ("copies the server sent", lazy.server_copies, COPIES_MOST),
    ]


def main() -> None:
    """Run both, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--rate", type=parse_rate, default=parse_rate("100mbit"))
    parser.add_argument("--size", type=parse_size, default=parse_size("512MiB"))
    parser.add_argument("--share", type=float, default=0.07)
    parser.add_argument("--stagger", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--release", type=Path)
    parser.add_argument("--trace", type=Path)
    given = parser.parse_args()
    row = Row(LAZY, given.nodes, given.rate, given.size, stagger_s=given.stagger, read_share=given.share)
    with tempfile.NamedTemporaryFile("w", prefix="swarmboot-trace-") as file:
        file.write(row.trace)
        file.flush()
        lazy_plan = replace(row.plan, trace=given.trace or Path(file.name), release=given.release)
        results = []
        for plan in (replace(lazy_plan, strategy="swarmboot", trace=None), lazy_plan):
            with watching(plan) as watcher:
                results.append(run_strategy(plan, watcher))
    plain, lazy = results
    print(f"today: last {plain.last_s:.1f} s, copies {plain.server_copies:.3f}, load before {plain.load_average:.1f}")
    print(
        f"lazy: read first {lazy.ready_first_s:.1f} s, median {lazy.ready_median_s:.1f} s, "
        f"last {lazy.ready_last_s:.1f} s; "
        f"all on the last {lazy.last_s:.1f} s, exchange {lazy.pivot_ms:.0f} ms, load before {lazy.load_average:.1f}"
    )
    is_missed = False
    for name, found, most in verdict(plain, lazy):
        is_missed |= found > most
        print(f"{name}: {found:.3f}, at most {most:g}{' - MISSED' if found > most else ''}")
    sys.exit(is_missed)


if __name__ == "__main__":
    main()
