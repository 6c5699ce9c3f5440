"""How long the exchange of the files takes under readers: `python -m tests.bench.exchange --runs 100`, as root.

Each run is a window of its own: a real server of reads, FUSE, a loop device, four readers past the page cache, and a
fetcher on paper. Prints the longest, the median, the reads made and the errors seen; exits with 1 if there was one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from random import Random

from tests.support.lazy import paper_window
from tests.support.waiting import wait_until

READERS = 4


def one_run(folder: Path, size_bytes: int, seed: int, count: int) -> tuple[float, int, float, list[str]]:
    """Return how long the exchange took in ms, the reads, the longest of them in ms, and what went wrong."""
    images = [folder / f"image{number}" for number in range(count)]
    data = Random(seed).randbytes(size_bytes)
    for image in images:
        image.write_bytes(data)
    with paper_window(folder, images) as window:
        with window.reading(window.devices[0], data, readers=READERS) as readers:
            wait_until("reads", lambda: all(reader.reads > 20 for reader in readers))
            exchange_ms = window.end()
            reads = [reader.reads for reader in readers]
            wait_until("more", lambda: all(reader.reads > n + 20 for reader, n in zip(readers, reads, strict=True)))
        faults = [fault for reader in readers for fault in reader.faults]
        return (
            exchange_ms,
            sum(reader.reads for reader in readers),
            1000 * max(reader.longest_s for reader in readers),
            faults,
        )


def main() -> None:
    """Run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--images", type=int, default=1, help="so many at once; the first is read")
    parser.add_argument("--size", type=int, default=8_000_000, help="bytes of the image")
    given = parser.parse_args()
    exchanges, reads, longest, faults = [], 0, 0.0, list[str]()
    for run in range(given.runs):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
            exchange_ms, count, longest_ms, found = one_run(Path(name), given.size, run, given.images)
        exchanges.append(exchange_ms)
        reads, longest, faults = reads + count, max(longest, longest_ms), faults + found
    print(
        f"{given.runs} exchanges of {given.images}: median {statistics.median(exchanges):.1f} ms, "
        f"longest {max(exchanges):.1f} ms; "
        f"{reads} reads by {READERS} readers, the longest {longest:.0f} ms, {len(faults)} errors"
    )
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
