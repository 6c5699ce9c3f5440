"""A real leecher whose policy writes down what it lives through: `python -m tests.sim.recorded_leecher TRACE ARGS..`.

The policy is the product's own, but for its random source, which is seeded so that a replay can draw the same.
"""

from __future__ import annotations

import pickle
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import leecher.swarm.fetcher
from leecher.boot.start import main
from leecher.policy.node_policy import Policy, Wanted
from leecher.policy.requests import Request
from swarmboot.ids import InfoHash
from swarmboot.wire.announce import Handout, Neighbour

SEED = 20


@dataclass(frozen=True, slots=True)
class Fact:
    """A call of the policy that told it something."""

    name: str
    at_s: float
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """A call of the policy that asked what to do, and the answer."""

    at_s: float
    requests: tuple[Request, ...]


@dataclass(slots=True)
class Trace:
    """What one policy lived through."""

    wanted: dict[InfoHash, Wanted] = field(default_factory=dict)
    origin: str = ""
    born_s: float = 0.0
    entries: list[Fact | Ask] = field(default_factory=list)

    @property
    def asks(self) -> list[Ask]:
        """Return the moments at which the policy was asked."""
        return [entry for entry in self.entries if isinstance(entry, Ask)]


class Recorder(Policy):
    """The real policy, written down."""

    trace = Trace()

    def __init__(self, wanted: Any, *, origin: str, now_s: float, **more: Any) -> None:
        self.trace.wanted, self.trace.origin, self.trace.born_s = dict(wanted), origin, now_s
        super().__init__(wanted, origin=origin, now_s=now_s, **{**more, "random": Random(SEED)})

    def _told(self, name: str, at_s: float, *values: Any) -> None:
        self.trace.entries.append(Fact(name, at_s, values))

    def started(self, *, now_s: float) -> None:
        self._told("started", now_s)
        super().started(now_s=now_s)

    def piece_arrived(self, info_hash: InfoHash, index: int, *, now_s: float) -> None:
        self._told("piece_arrived", now_s, info_hash, index)
        super().piece_arrived(info_hash, index, now_s=now_s)

    def handout_arrived(self, handout: Handout, *, now_s: float) -> None:
        self._told("handout_arrived", now_s, handout)
        super().handout_arrived(handout, now_s=now_s)

    def announce_failed(self, *, now_s: float) -> None:
        self._told("announce_failed", now_s)
        super().announce_failed(now_s=now_s)

    def range_ended(self, number: int, *, is_whole: bool, now_s: float) -> None:
        self._told("range_ended", now_s, number, is_whole)
        super().range_ended(number, is_whole=is_whole, now_s=now_s)

    def neighbours_found(self, neighbours: tuple[Neighbour, ...]) -> None:
        self._told("neighbours_found", time.monotonic(), neighbours)
        super().neighbours_found(neighbours)

    def requests(self, *, now_s: float) -> list[Request]:
        requests = super().requests(now_s=now_s)
        self.trace.entries.append(Ask(now_s, tuple(requests)))
        return requests


def record(path: Path, arguments: list[str]) -> None:
    """Run the leecher to its end and write its policy's trace."""
    leecher.swarm.fetcher.Policy = Recorder  # type: ignore[attr-defined]
    sys.argv[1:] = arguments
    try:
        main(time.monotonic())
    finally:
        path.write_bytes(pickle.dumps(Recorder.trace))


if __name__ == "__main__":
    # Under its importable name, so that the trace can be read elsewhere.
    from tests.sim import recorded_leecher

    recorded_leecher.record(Path(sys.argv[1]), sys.argv[2:])
