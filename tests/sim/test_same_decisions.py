"""One event trace, two shells: what a real leecher decides on it, and what netsim's loop decides on the same trace.

A real leecher boots over TLS and BitTorrent on loopback, and its policy writes down every fact it is told, every moment
it is asked and every request it makes (`tests.sim.recorded_leecher`). Then netsim's loop is told the same facts at the
same moments. It must want to ask whenever the real shell asked, and then request the same.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from leecher.policy.node_policy import Policy
from leecher.policy.requests import AnnounceRequest, ConnectRequest, FetchRequest, PieceRange, Request
from netsim.delivery.policy_loop import WAKING_S, PolicyLoop
from swarmboot.wire.announce import Neighbour
from tests.sim.recorded_leecher import SEED, Fact, Trace
from tests.support.loopback import (
    Fleet,
    Seeder,
    asking,
    booting,
    build_fleet,
    build_release,
    serving,
    wait_until_arriving,
)
from tests.support.waiting import BOUND_S, wait_until

LATE_S = 0.5
"""How much later than netsim's loop would the real one may ask: this machine is shared."""


def recorded(folder: Path, fleet: Fleet, seeder: Seeder, *, is_seeder_killed: bool = False) -> Trace:
    """Boot a leecher that is recorded, and return its trace; the seeder can be killed once it fetches."""
    path, report = folder / "trace", folder / "report.json"
    fixed = ["--into", str(folder / "here"), "--report", str(report), "--bind", "127.0.0.9", "--reserve", "0"]
    command = [
        sys.executable,
        "-m",
        "tests.sim.recorded_leecher",
        str(path),
        *fixed,
        "--progress",
        "none",
        "--linger",
    ]
    arguments = [str(argument) for argument in asking(seeder, fleet)]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        if is_seeder_killed:
            wait_until_arriving(folder / "here", process)
            seeder.process.kill()
        wait_until("a report", report.exists, process=process)
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=BOUND_S)
    assert path.exists(), said
    trace: Trace = pickle.loads(path.read_bytes())
    return trace


class Replay:
    """netsim's loop under a trace; its shell writes down the requests."""

    def __init__(self, trace: Trace) -> None:
        self.requests: list[Request] = []
        self._due: list[tuple[float, Callable[[float], None]]] = []
        policy = Policy(trace.wanted, origin=trace.origin, now_s=trace.born_s, random=Random(SEED))
        self.loop = PolicyLoop(policy, self, at=lambda time_s, action: self._due.append((time_s, action)))

    def announce(self, request: AnnounceRequest, now_s: float) -> None:  # noqa: ARG002 - the shell's signature
        self.requests.append(request)

    def fetch(self, piece_range: PieceRange, now_s: float) -> None:  # noqa: ARG002 - the shell's signature
        self.requests.append(FetchRequest(piece_range))

    def dial(self, neighbours: tuple[Neighbour, ...], now_s: float) -> None:  # noqa: ARG002 - the shell's signature
        self.requests.append(ConnectRequest(neighbours))

    def tell(self, fact: Fact) -> None:
        match fact.name, fact.values:
            case "piece_arrived", (info_hash, index):
                have = self.loop.policy.have[info_hash] | 1 << index
                self.loop.pieces_arrived(info_hash, have, at_s=fact.at_s)
            case "range_ended", (number, is_whole):
                self.loop.range_ended(number, is_whole=is_whole, now_s=fact.at_s)
            case name, values:
                getattr(self.loop, name)(*values, fact.at_s)

    def ask(self, at_s: float) -> tuple[Request, ...]:
        """Let the loop ask if it wants to have asked by now; return what it requested.

        Fails if it would have asked long before, and did not only want to look again.
        """
        self.requests = []
        ripe = sorted((entry for entry in self._due if entry[0] <= at_s + WAKING_S), key=lambda entry: entry[0])
        self._due = [entry for entry in self._due if entry[0] > at_s + WAKING_S]
        for due_s, action in ripe:
            count = len(self.requests)
            action(at_s)
            is_late = at_s - due_s > LATE_S
            assert not is_late or len(self.requests) == count, f"asked {at_s - due_s:.2f} s after netsim would have"
        return tuple(self.requests)


def replay(trace: Trace) -> list[Request]:
    """Replay a trace, hold every request against the real one's, and return them all."""
    again = Replay(trace)
    again.loop.begin(trace.asks[0].at_s)
    requests: list[Request] = []
    for entry in trace.entries:
        if isinstance(entry, Fact):
            again.tell(entry)
        else:
            assert again.ask(entry.at_s) == entry.requests
            requests += entry.requests
    return requests


def kinds(requests: list[Request]) -> set[type[Request]]:
    return {type(request) for request in requests}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("fleet")
    return build_fleet(folder, build_release(folder / "release", size_bytes=12_000_000, plugins=2))


def test_a_node_among_others_decides_the_same(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet, "--uplink", "50mbit") as seeder, ExitStack() as stack:
        first, *_ = [
            stack.enter_context(booting(tmp_path, number, *asking(seeder, fleet), "--linger")) for number in (1, 2, 3)
        ]
        first.wait_until_arriving()
        trace = recorded(tmp_path, fleet, seeder)
    assert kinds(replay(trace)) >= {AnnounceRequest, ConnectRequest}


def test_a_node_alone_with_the_server_decides_the_same(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet, "--uplink", "100mbit") as seeder:
        trace = recorded(tmp_path, fleet, seeder)
    requests = replay(trace)
    assert kinds(requests) >= {AnnounceRequest, FetchRequest}
    assert len(requests) >= 20


def test_a_node_whose_seeder_dies_decides_the_same(tmp_path: Path, fleet: Fleet) -> None:
    warm_up = ("--linger", "--up", "24mbit")
    with serving(fleet, "--uplink", "16mbit") as seeder, booting(tmp_path, 1, *asking(seeder, fleet), *warm_up) as warm:
        warm.report()
        trace = recorded(tmp_path, fleet, seeder, is_seeder_killed=True)
    assert "announce_failed" in {entry.name for entry in trace.entries if isinstance(entry, Fact)}
    assert kinds(replay(trace)) >= {AnnounceRequest, ConnectRequest}
