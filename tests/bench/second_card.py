"""What a second card costs a node: `python -m tests.bench.second_card SUITE GENERATOR [TIMES] [--host-clock]`, as root.

Boots a machine TIMES times (3) for each row of `CARDS`, one after the other, and prints a Markdown table: the
machine's own seconds until it had an address and until its root was ready, the middle one of all with the least and the
most. Its clock counts its instructions; with --host-clock it goes with the host's, on which emulation takes about ten
times as long: run that by `chrt -f 50`, so that QEMU and the seeder have the processor when they want it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.system.vm.grounds import ground
from tests.system.vm.machine import OWN_CLOCK
from tests.system.vm.matrix import ADDRESS, BOOT_S, CARDS, END, READY, after_s, open_bench


def main(suite: str, generator: str, times: int, more: tuple[str, ...]) -> None:
    """Print the table of a ground."""
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in CARDS}
    with (
        tempfile.TemporaryDirectory() as folder,
        open_bench(ground(suite, generator), Path(folder) / "bench") as bench,
    ):
        for number in range(times):
            for name, cards in CARDS.items():
                with bench.boot_tiny(f"{name.replace(' ', '-')}-{number}", cards=cards, more=more) as machine:
                    machine.wait_for(END, within_s=BOOT_S)
                    seen[name].append((after_s(machine, ADDRESS), after_s(machine, READY)))
                print(name, *seen[name][-1], flush=True, file=sys.stderr)
    print(f"| {suite}, {generator} | an address | the root is ready |\n|---|---|---|")
    for name, pairs in seen.items():
        print(f"| {name} | {' | '.join(_shown(list(column)) for column in zip(*pairs, strict=True))} |")


def _shown(values_s: list[float]) -> str:
    return f"{median(values_s):.1f} s ({min(values_s):.1f} to {max(values_s):.1f})"


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--host-clock"]
    main(words[0], words[1], int(words[2]) if words[2:] else 3, () if "--host-clock" in sys.argv else OWN_CLOCK)
