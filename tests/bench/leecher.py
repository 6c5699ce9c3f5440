"""What one leecher takes: time beside libtorrent alone, memory beside the image, and how soon it asks.

    python -m tests.bench.leecher           all of it
    python -m tests.bench.leecher big       one leecher from one neighbour over loopback, 1 GiB; --size, --runs
    python -m tests.bench.leecher memory    peak of private memory and of the program's files, apart from the image
    python -m tests.bench.leecher start     from the program's start to its first question

Images lie in /dev/shm. Traffic stays on 127.0.0.0/8. Times are of whole programs, Python's start among them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from netsim.lab.torrent import Version, make_torrent
from swarmboot.units import format_size, parse_size
from tests.integration.world import Fleet, asking, booting, build_fleet, serving

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


def took_s(began_s: float, path: Path) -> float:
    """Wait for a file and return the seconds until it was there."""
    while not path.exists():
        if time.monotonic() - began_s > _BOUND_S:
            raise TimeoutError(f"{path.name} does not appear")
        time.sleep(_LOOK_S)
    return time.monotonic() - began_s


def swarmboot_s(folder: Path, fleet: Fleet, number: int) -> float:
    """Return what a second node takes that has one booted neighbour; the server sends it nothing."""
    with serving(fleet) as seeder:
        arguments = [*asking(seeder, fleet), "--neighbour"]
        with booting(folder, number, *arguments) as warm:
            warm.report()
            began_s = time.monotonic()
            with booting(folder, number + 1, *arguments) as late:
                seconds = took_s(began_s, late.report_path)
                origin = late.report()["bytes_from"]["origin"]
                assert origin == 0, f"{origin} bytes came from the server"
                return seconds


def libtorrent_s(folder: Path, image: Path, number: int) -> float:
    """Return what libtorrent alone takes for the same bytes between the same addresses."""
    torrent, into = folder / "image.torrent", folder / f"peer{number}"
    into.mkdir()
    make_torrent(image, torrent, Version.V2)
    program = [sys.executable, "-m", "tests.bench.peer", str(torrent)]
    ready, done = folder / f"ready{number}", folder / f"done{number}"
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
        (into / image.name).unlink()


def big(size_bytes: int, runs: int) -> None:
    """Print both rates, run by run in turn, and the ratio of the medians."""
    ours, alone = [], []
    for run in range(runs):
        with fleet_of(size_bytes) as (folder, fleet):
            alone.append(libtorrent_s(folder, folder / "release" / "rootfs.squashfs", run))
            ours.append(swarmboot_s(folder, fleet, 1))
        print(f"run {run + 1}: libtorrent alone {alone[-1]:.2f} s, swarmboot {ours[-1]:.2f} s", flush=True)
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


def memory(size_bytes: int) -> None:
    """Print the peaks of a node that boots from the server, apart from the image, which lies in RAM once."""
    with (
        fleet_of(size_bytes) as (folder, fleet),
        serving(fleet, "--uplink", "1gbit") as seeder,
        booting(folder, 1, *asking(seeder, fleet)) as node,
    ):
        peak = peak_bytes(node.process.pid, node.report_path.exists)
    besides = peak["RssAnon"] + peak["RssFile"]
    print(
        f"memory: image {format_size(size_bytes)}; private {format_size(peak['RssAnon'])}, "
        f"program and libraries {format_size(peak['RssFile'])}, together {format_size(besides)}; "
        f"of the image mapped {format_size(peak['RssShmem'])}"
    )


def start(runs: int) -> None:
    """Print how soon a leecher asks its first question, one at a time."""
    seconds = []
    with fleet_of(1 << 20) as (folder, fleet), serving(fleet) as seeder:
        for number in range(1, runs + 1):
            with booting(folder, number, *asking(seeder, fleet)) as node:
                seconds.append(float(node.report()["phases"]["leecher_start"]))
    print(f"start: first question after {statistics.median(seconds):.3f} s, at most {max(seconds):.3f} s")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.leecher")
    parser.add_argument("what", nargs="?", choices=("all", "big", "memory", "start"), default="all")
    parser.add_argument("--size", type=lambda text: int(parse_size(text)), default=1 << 30)
    parser.add_argument("--runs", type=int, default=3)
    order = parser.parse_args()
    if order.what in ("all", "start"):
        start(max(5, order.runs))
    if order.what in ("all", "memory"):
        memory(_MEMORY_BYTES)
        memory(order.size)
    if order.what in ("all", "big"):
        big(order.size, order.runs)


if __name__ == "__main__":
    main()
