"""What the record costs the seeder: time of its one thread, memory, and the history's size.

    python -m tests.bench.record            2,000 nodes by default; --nodes

Everything is the seeder's own: the registry that announces go to, the recorder, the thread that writes. Processor time
is this process's, the writing thread's included. Nothing listens and nothing is sent.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import Torrent
from seeder.record.policy import shapes
from seeder.record.recorder import Recorder
from seeder.record.store import FILE_NAME
from seeder.site.catalogue import Catalogue
from swarmboot.ids import InfoHash, NodeId, NodeKey, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.about import About
from swarmboot.wire.announce import Announce, NodeState
from swarmboot.wire.report import BOOTED, VERIFIED, BootReport

IMAGE = Torrent(InfoHash(b"i" * 32), 1 << 30, 1 << 20)
TOLD = {"leecher_start": 0.5, "manifest": 0.2, "images": 20.0, "verification": 0.5}


def about(number: int) -> About:
    """Return what node `number` says of itself."""
    mac = f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"
    return About(f"{number:08x}-0000-4000-8000-000000000000", mac, f"node{number}", "stable", "6.1.0-18-amd64")


def announce(number: int, state: NodeState, have: int, *, is_first: bool) -> Announce:
    """Return an announce of node `number`, which has so many pieces."""
    pieces = piece_set.of(range(have))
    return Announce(
        NodeId(number.to_bytes(16, "big")), Sequence(1), state, 6881, 8471, f"rack{number // 40}",
        {IMAGE.info_hash: piece_set.encode(pieces, IMAGE.count)}, from_neighbours_bytes=have << 20,
        key=NodeKey(b"k" * 16), about=about(number) if is_first else None,
    )  # fmt: skip


def report(number: int, outcome: str) -> BootReport:
    """Return a report of node `number`."""
    who = about(number)
    return BootReport(
        NodeId(number.to_bytes(16, "big")).hex(), outcome, 1, phases=TOLD, hands_off=outcome == VERIFIED,
        bytes_from={"neighbours": 1 << 30, "origin": 1 << 22}, boot=who.boot, mac=who.mac, name=who.name,
        kernel=who.kernel, ram_bytes=8 << 30, uptime_s=40.0, rack=f"rack{number // 40}",
    )  # fmt: skip


@contextmanager
def timed(what: str, per: int, unit: str) -> Iterator[None]:
    """Print what a block takes of a processor, a `per`th of it."""
    before_s = time.process_time()
    yield
    spent_s = time.process_time() - before_s
    print(f"{what}: {spent_s / per * 1e6:.0f} µs {unit}", flush=True)


def average(count: int, call: Callable[[], object]) -> None:
    """Call so many times."""
    for _ in range(count):
        call()


def host(number: int) -> str:
    """Return the address of node `number`."""
    return f"10.0.{number >> 8}.{number & 255}"


def measure(nodes: int, folder: Path) -> None:
    """Have nodes boot, and print what that cost."""
    registry = Registry()
    registry.add_torrent(IMAGE)
    recorder = Recorder(registry, Catalogue(folder, registry), folder=folder, tell=print)

    def hear(number: int, state: NodeState, have: int, *, is_first: bool = False) -> Announce:
        said = announce(number, state, have, is_first=is_first)
        registry.observe(said, host=host(number), now_s=time.monotonic())
        return said

    first = [hear(number, NodeState.FETCHING, 1, is_first=True) for number in range(nodes)]
    with timed("a node's first announce", nodes, "each"):
        for number, said in enumerate(first):
            recorder.announced(said, host=host(number))
    again = [hear(number, NodeState.FETCHING, 300) for number in range(nodes)]
    with timed("any other announce", nodes, "each"):
        for number, said in enumerate(again):
            recorder.announced(said, host=host(number))
    with timed("a sweep while all fetch", 1, f"of {nodes} nodes, once a second"):
        recorder.sweep()
    with timed("a report", 2 * nodes, "each"):
        for number in range(nodes):
            recorder.reported(report(number, VERIFIED), host=host(number))
        for number in range(nodes):
            recorder.reported(report(number, BOOTED), host=host(number))
    with timed("writing all of it once", nodes, "a boot"):
        recorder.sweep()
        recorder.close()
    view = recorder.view()
    with timed("a view of the fleet", 5, "at most twice a second, in a thread, while somebody looks"):
        average(5, view)
    shown = view()
    with timed("/api/nodes of all", 1, f"for {len(json.dumps(shapes.nodes(shown))) // 1000} kB"):
        json.dumps(shapes.nodes(shown))
    size_bytes = sum(path.stat().st_size for path in folder.glob(f"{FILE_NAME}*"))
    print(f"the history: {size_bytes / 1e6:.1f} MB, {size_bytes // nodes} bytes a boot")


def memory(nodes: int, folder: Path) -> None:
    """Print what the current boots take in memory."""
    registry = Registry()
    registry.add_torrent(IMAGE)
    recorder = Recorder(registry, Catalogue(folder, registry), tell=print)
    tracemalloc.start()
    for number in range(nodes):
        recorder.announced(announce(number, NodeState.FETCHING, 1, is_first=True), host=host(number))
        recorder.reported(report(number, VERIFIED), host=host(number))
        recorder.reported(report(number, BOOTED), host=host(number))
    recorder.sweep()
    gc.collect()
    taken_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"memory: {taken_bytes / 1e6:.1f} MB, {taken_bytes // nodes} bytes a node")


def main() -> None:
    """Measure, on the first core."""
    parser = argparse.ArgumentParser(description="What the record costs the seeder.")
    parser.add_argument("--nodes", type=int, default=2000)
    nodes = parser.parse_args().nodes
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        measure(nodes, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        memory(nodes, Path(folder))


if __name__ == "__main__":
    main()
