"""What all that shows how a boot goes costs the boot: racks in turns, with it and without, as root.

    python -m tests.bench.harm                              switched on and off, in this tree
    python -m tests.bench.harm --against /srv/before        all of it on here, against another tree as it is
    python -m tests.bench.harm --rounds 9 -- --nodes 16 --rate 50mbit --size 64MiB

A turn is one `swarmboot lab run` of each, in an order that changes from turn to turn, so that what else the machine
does falls on both alike. On means that nodes hand in a kernel's log of the usual length and serve metrics at a fixed
port. The other tree needs its own .venv. It prints each run and the ratio of the medians, and ends with 1 if the last
node is later by more than `--most`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

TREE = Path(__file__).parents[2]
OPTIONS = ("--nodes", "16", "--rate", "50mbit", "--size", "64MiB")
LINES, LINE = 1000, "usb 1-1: new high-speed USB device number 2 using xhci_hcd, and so on"
METRICS_PORT = 9470
RUN_S = 900.0


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared: a name, the interpreter and tree it runs in, and its nodes' settings."""

    name: str
    python: Path
    tree: Path
    settings: dict[str, str]

    def run(self, options: list[str]) -> dict[str, Any]:
        """Run a lab and return what it measured."""
        command = (str(self.python), "-m", "swarmboot", "lab", "run", "--json", *options)
        environment = {**os.environ, **self.settings, "PYTHONPATH": str(self.tree)}
        done = subprocess.run(
            command, cwd=self.tree, env=environment, stdout=subprocess.PIPE, text=True, timeout=RUN_S, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def kernels_log(path: Path) -> Path:
    """Write what a kernel says while it starts, as /dev/kmsg has it; some 90 kB."""
    now_us = int(time.monotonic() * 1e6)
    path.write_text("".join(f"6,{number},{now_us},-;{LINE} {number}\n" for number in range(LINES)))
    return path


def sides(log: Path, against: Path | None) -> tuple[Side, Side]:
    """Return the two: everything on in this tree, and another tree or everything off."""
    on = {"SWARMBOOT_LOG": str(log), "SWARMBOOT_METRICS_PORT": str(METRICS_PORT)}
    here, own = Path(sys.executable), Side("on", Path(sys.executable), TREE, on)
    if against is None:
        return own, Side("off", here, TREE, {"SWARMBOOT_LOG": "off", "SWARMBOOT_METRICS_PORT": "0"})
    return own, Side("against", against / ".venv" / "bin" / "python", against, {})


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.harm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--most", type=float, default=1.02)
    parser.add_argument("options", nargs="*", default=OPTIONS, help="of `swarmboot lab run`, after --")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pair = sides(kernels_log(Path(folder) / "kmsg"), arguments.against)
        seen: dict[str, list[dict[str, Any]]] = {side.name: [] for side in pair}
        for number in range(arguments.rounds):
            for side in pair if number % 2 else reversed(pair):
                found = side.run(list(arguments.options))
                seen[side.name].append(found)
                print(
                    f"{number + 1} {side.name}: first {found['first_s']:.2f}, median {found['median_s']:.2f}, last "
                    f"{found['last_s']:.2f} s, {found['server_copies']:.2f} copies, nodes' processors "
                    f"{found['cpu_s']:.1f} s, server's {found['server_cpu_s']:.1f} s, load {found['load_average']:.1f}",
                    flush=True,
                )
    on, other = (seen[side.name] for side in pair)
    ratios = {}
    for name in ("first_s", "median_s", "last_s", "cpu_s", "server_cpu_s"):
        ratios[name] = median(each[name] for each in on) / median(each[name] for each in other)
    print(f"{pair[0].name} / {pair[1].name}: " + ", ".join(f"{name} {ratio:.3f}" for name, ratio in ratios.items()))
    if ratios["last_s"] > arguments.most:
        sys.exit(f"the last node is later: {ratios['last_s']:.3f} where {arguments.most:g} is the bound")


if __name__ == "__main__":
    main()
