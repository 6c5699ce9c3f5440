"""What one leecher takes: time beside libtorrent alone, memory beside the image, and how soon it asks.

    python -m tests.bench.leecher           all of it
    python -m tests.bench.leecher big       one leecher from one neighbour over loopback, 1 GiB; --size, --runs
    python -m tests.bench.leecher memory    peak of private memory and of the program's files, apart from the image
    python -m tests.bench.leecher start     from the program's start to its first question

Nodes start as from a runtime image: with the distribution's Python and packages, or with `--from wheels` with this
Python's, as in `swarmboot hook build-runtime`. Images lie in /dev/shm. Traffic stays on 127.0.0.0/8. Times are of whole
programs, Python's start among them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from netsim.lab.strategies.torrent import Version, make_torrent
from seeder.hook import runtime_image
from swarmboot.text.units import format_size, parse_size
from tests.support.loopback import Fleet, asking, booting, build_fleet, serving

_RAM = "/dev/shm"
_BOUND_S = 120.0
_LOOK_S = 0.01
_MEMORY_BYTES = 64 << 20


@contextmanager
def fleet_of(size_bytes: int) -> Iterator[tuple[Path, Fleet]]:
    """Yield a folder in RAM and a fleet with an image of that size."""
    with tempfile.TemporaryDirectory(dir=_RAM, prefix="swarmboot-bench-") as name:
        folder = Path(name)
        release = folder / "release"
        release.mkdir()
        with (release / "rootfs.squashfs").open("wb") as image:
            image.write(b"hsqs")
            for start in range(4, size_bytes, 1 << 20):
                image.write(os.urandom(min(1 << 20, size_bytes - start)))
        yield folder, build_fleet(folder, release)


def touch_memory(folder: Path, size_bytes: int) -> None:
    """Have this machine own free memory for so much: a virtual one asks its host anew for what was free for seconds."""
    with (folder / "touched").open("wb") as file:
        for _ in range(0, size_bytes, 1 << 20):
            file.write(bytes(1 << 20))
    (folder / "touched").unlink()


def took_s(began_s: float, path: Path) -> float:
    """Wait for a file and return the seconds until it was there."""
    while not path.exists():
        if time.monotonic() - began_s > _BOUND_S:
            raise TimeoutError(f"{path.name} does not appear")
        time.sleep(_LOOK_S)
    return time.monotonic() - began_s


def python_of(origin: str) -> tuple[str, ...]:
    """Return how a runtime image's Python starts: the distribution's with its packages, or this one with its wheels."""
    source = runtime_image.probe(origin)
    folders = sorted({str(path.parent) for path in source.packages.values()})
    return ("env", f"PYTHONPATH={os.pathsep.join(folders)}", str(source.executable), "-S")


def swarmboot_s(folder: Path, order: Sequence[str | Path], python: Sequence[str]) -> float:
    """Return what a node takes that has one booted neighbour, by whom nearly all is sent; its image is removed."""
    began_s = time.monotonic()
    with booting(folder, 2, *order, python=python) as late:
        seconds = took_s(began_s, late.report_path)
        sent = late.report()["bytes_from"]
        assert sent["origin"] < sent["neighbours"] / 50, f"the server sent {sent['origin']} bytes"
    shutil.rmtree(late.into)
    late.report_path.unlink()
    return seconds


def libtorrent_s(folder: Path, image: Path, python: Sequence[str]) -> float:
    """Return what libtorrent alone takes for the same bytes between the same addresses; what it wrote is removed."""
    torrent, into, ready, done = (folder / name for name in ("image.torrent", "peer", "ready", "done"))
    into.mkdir()
    make_torrent(image, torrent, Version.V2)
    program = [*python, "-m", "tests.bench.peer", str(torrent)]
    seed = subprocess.Popen([*program, str(image.parent), "127.0.0.2", str(ready)])
    try:
        took_s(time.monotonic(), ready)
        began_s = time.monotonic()
        peer = subprocess.Popen([*program, str(into), "127.0.0.3", str(done), "127.0.0.2"])
        try:
            return took_s(began_s, done)
        finally:
            peer.kill()
            peer.wait()
    finally:
        seed.kill()
        seed.wait()
        shutil.rmtree(into)
        for path in (torrent, ready, done):
            path.unlink(missing_ok=True)


def big(size_bytes: int, runs: int, python: Sequence[str]) -> None:
    """Print both times, run by run in turn, and the ratio of the medians."""
    ours, alone = [], []
    with fleet_of(size_bytes) as (folder, fleet), serving(fleet) as seeder:
        order = [*asking(seeder, fleet), "--linger"]
        for run in range(1, runs + 1):
            touch_memory(folder, size_bytes)
            alone.append(libtorrent_s(folder, folder / "release" / "rootfs.squashfs", python))
            with booting(folder, 1, *order, python=python) as warm:
                warm.report()
                touch_memory(folder, size_bytes)
                ours.append(swarmboot_s(folder, order, python))
            shutil.rmtree(warm.into)
            warm.report_path.unlink()
            print(f"run {run}: libtorrent alone {alone[-1]:.2f} s, swarmboot {ours[-1]:.2f} s", flush=True)
    ratio = statistics.median(alone) / statistics.median(ours)
    rate = size_bytes / statistics.median(ours) / 1e6
    print(f"big: {format_size(size_bytes)} at {rate:.0f} MB/s, {ratio:.2f} of what libtorrent alone does")


def peak_bytes(process: int, until: Callable[[], bool]) -> dict[str, int]:
    """Return the largest private memory, file mappings and shared memory of a process, looked at until `until`."""
    peak = dict.fromkeys(("RssAnon", "RssFile", "RssShmem"), 0)
    while not until():
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in peak:
                peak[name] = max(peak[name], int(value.split()[0]) * 1024)
        time.sleep(_LOOK_S)
    return peak


def memory(size_bytes: int, python: Sequence[str]) -> None:
    """Print the peaks of a node that boots from the server, apart from the image, which lies in RAM once."""
    with (
        fleet_of(size_bytes) as (folder, fleet),
        serving(fleet, "--uplink", "1gbit") as seeder,
        booting(folder, 1, *asking(seeder, fleet), python=python) as node,
    ):
        peak = peak_bytes(node.process.pid, node.report_path.exists)
    besides = peak["RssAnon"] + peak["RssFile"]
    print(
        f"memory: image {format_size(size_bytes)}; private {format_size(peak['RssAnon'])}, "
        f"program and libraries {format_size(peak['RssFile'])}, together {format_size(besides)}; "
        f"of the image mapped {format_size(peak['RssShmem'])}"
    )


def start(runs: int, python: Sequence[str]) -> None:
    """Print how soon a leecher asks its first question, one at a time."""
    seconds = []
    with fleet_of(1 << 20) as (folder, fleet), serving(fleet) as seeder:
        for number in range(1, runs + 1):
            with booting(folder, number, *asking(seeder, fleet), python=python) as node:
                seconds.append(float(node.report()["phases"]["leecher_start"]))
    print(f"start: first question after {statistics.median(seconds):.3f} s, at most {max(seconds):.3f} s")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.leecher")
    parser.add_argument("what", nargs="?", choices=("all", "big", "memory", "start"), default="all")
    parser.add_argument("--size", type=lambda text: int(parse_size(text)), default=1 << 30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--from", dest="origin", choices=("packages", "wheels"), default="packages")
    order = parser.parse_args()
    python = python_of(order.origin)
    print(f"with {python[-2]} and its {order.origin}")
    if order.what in ("all", "start"):
        start(max(5, order.runs), python)
    if order.what in ("all", "memory"):
        memory(_MEMORY_BYTES, python)
        memory(order.size, python)
    if order.what in ("all", "big"):
        big(order.size, order.runs, python)


if __name__ == "__main__":
    main()
