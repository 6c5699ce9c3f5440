"""Whether the seeder stays flat: a large rack announces for long, hostile hosts among it, and memory must not grow.

    python -m tests.bench.flat                      2,000 announcers, 100 of them hostile, for 20 minutes
    python -m tests.bench.flat --minutes 2 --nodes 500 --hostile 50
    python -m tests.bench.flat --log 1              each node hands in a line of its kernel's log a second as well

The real `swarmboot serve` has the first core to itself, those who ask it the last. A node announces once every
`--interval` seconds, which for 2,000 nodes is what the seeder itself asks for. It prints memory, descriptors and
processor a minute, then the verdict, and ends with 1 if a bound is passed. Traffic stays on loopback.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seeder.http.authority import issue_certificate
from seeder.node_log.listener import FLUSH_S, POSTS_PER_S
from tests.bench.load import processor_s
from tests.bench.seeder import LISTEN, image_of, listening, pinned, resident_bytes
from tests.support.loopback import build_fleet, build_release

IMAGE_BYTES = 64 << 20
SAMPLE_S = 1.0
GROWTH_MAX = 1.2
P99_MAX_MS = 50.0
DESCRIPTORS_SPARE = 64
TELL_S = 60.0
BOUND_S = 120.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The seeder at one moment: seconds since the start, memory, descriptors, processor time."""

    at_s: float
    resident_bytes: int
    descriptors: int
    processor_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """A run's samples and what the honest nodes saw."""

    samples: tuple[Sample, ...]
    load: dict[str, Any]

    def growth(self, first_s: float) -> float:
        """Return the most memory of the last `first_s` as a part of the most of the first."""
        end_s = self.samples[-1].at_s
        first = [each.resident_bytes for each in self.samples if each.at_s <= first_s]
        last = [each.resident_bytes for each in self.samples if each.at_s >= end_s - first_s]
        return max(last) / max(first)

    def leaked_descriptors(self, first_s: float) -> int:
        """Return how many descriptors more there are at most in the last `first_s` than in the first."""
        end_s = self.samples[-1].at_s
        first = [each.descriptors for each in self.samples if each.at_s <= first_s]
        last = [each.descriptors for each in self.samples if each.at_s >= end_s - first_s]
        return max(last) - max(first)

    @property
    def cores(self) -> float:
        """Return how much of a core the seeder used."""
        first, last = self.samples[0], self.samples[-1]
        return (last.processor_s - first.processor_s) / (last.at_s - first.at_s)


def sample(process: int, begun_s: float) -> Sample:
    """Return the seeder as it is now (proc(5))."""
    descriptors = sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())
    return Sample(time.monotonic() - begun_s, resident_bytes(process), descriptors, processor_s(process))


def run(
    folder: Path, *, seconds: float, nodes: int, hostile: int, interval_s: float, lines_per_s: float = 0.0
) -> Figures:
    """Serve a release of 64 MiB to that many nodes, hostile ones among them, and return what was seen.

    Each hands in so many lines of its kernel's log a second, as often as the seeder would ask it to.
    """
    fleet = build_fleet(folder, build_release(folder / "release", size_bytes=IMAGE_BYTES))
    certificate = issue_certificate(folder / "state", ["127.0.0.1"])
    image = image_of(fleet.site)
    serve = ("swarmboot", "serve", fleet.site, "--state", folder / "state", *LISTEN, "--uplink", "1gbit")
    with listening(*serve) as (process, port):  # nobody reads its log, which must not matter
        shape = {"info_hash": image.info_hash.hex(), "pieces": -(-image.size_bytes // image.piece_bytes)}
        where = {**shape, "process": process, "host": "127.0.0.1", "port": port, "ca": str(certificate.authority)}
        honest = {**where, "nodes": nodes - hostile, "requests": 0, "seconds": seconds, "interval_s": interval_s}
        log = log_of(nodes, interval_s=interval_s, lines_per_s=lines_per_s)
        with asking("tests.bench.load", {**honest, **log, "are_hosts": True}) as rack:
            assert rack.stdout is not None
            rack.stdout.readline()  # everyone has joined
            with asking("tests.bench.hostile", {**where, "hosts": hostile, "seconds": seconds}):
                samples = tuple(watch(process, seconds))
            said, _ = rack.communicate(timeout=BOUND_S)
    return Figures(samples, json.loads(said))


def log_of(nodes: int, *, interval_s: float, lines_per_s: float) -> dict[str, int]:
    """Return after how many requests a node's next one hands in lines, and how many; nothing for none."""
    if not lines_per_s:
        return {}
    every_s = max(FLUSH_S, nodes / POSTS_PER_S)
    return {"lines_every": max(2, round(every_s / interval_s)), "lines": max(1, round(every_s * lines_per_s))}


@contextmanager
def asking(program: str, order: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """Run a program that asks, on the last core; end it at the end of the block."""
    command = pinned(-1, sys.executable, "-m", program, json.dumps(order))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)
        assert process.stdout is not None
        process.stdout.close()


def watch(process: int, seconds: float) -> Iterator[Sample]:
    """Yield a sample a second for as long as the run lasts, printing one a minute."""
    begun_s = time.monotonic()
    told_s = 0.0
    while (now := sample(process, begun_s)).at_s < seconds:
        yield now
        if now.at_s >= told_s:
            told_s += TELL_S
            shown = f"{now.resident_bytes / 1e6:.1f} MB resident, {now.descriptors} descriptors"
            print(f"{now.at_s:.0f} s: {shown}, {now.processor_s:.1f} s of processor time", flush=True)
        time.sleep(SAMPLE_S)


def verdict(figures: Figures, first_s: float) -> list[str]:
    """Return which bounds a run has passed, in words."""
    passed = []
    if figures.growth(first_s) > GROWTH_MAX:
        passed.append(f"memory grew to {figures.growth(first_s):.2f} of its first minute's")
    if figures.leaked_descriptors(first_s) > DESCRIPTORS_SPARE:
        passed.append(f"{figures.leaked_descriptors(first_s)} descriptors more than in the first minute")
    if figures.load["p99_ms"] > P99_MAX_MS:
        passed.append(f"p99 of a handout {figures.load['p99_ms']:.1f} ms")
    if figures.cores > 1.0:
        passed.append(f"{figures.cores:.2f} of a core")
    return passed


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flat", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--hostile", type=int, default=100)
    parser.add_argument("--interval", type=float, default=1.8)
    parser.add_argument("--log", type=float, default=0.0, metavar="LINES", help="that a node hands in a second")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(
            Path(folder),
            seconds=60 * arguments.minutes,
            nodes=arguments.nodes,
            hostile=arguments.hostile,
            interval_s=arguments.interval,
            lines_per_s=arguments.log,
        )
    first_s = min(60.0, 20 * arguments.minutes)
    load = figures.load
    print(
        f"memory {figures.growth(first_s):.3f} of the first {first_s:.0f} s, "
        f"{figures.leaked_descriptors(first_s):+d} descriptors, {figures.cores:.2f} of a core, "
        f"{load['answers'] / load['elapsed_s']:.0f} handouts a second, {load['refused']} refused, "
        f"p50 {load['p50_ms']:.1f} ms, p99 {load['p99_ms']:.1f} ms"
    )
    if passed := verdict(figures, first_s):
        sys.exit(f"not flat: {'; '.join(passed)}")


if __name__ == "__main__":
    main()
