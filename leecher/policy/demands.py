"""What becomes of a read that waits: its piece goes to the front, by ever surer means, each with a deadline.

A read of a piece that is missing asks the neighbours for that piece before all others. If it has not come within
`neighbours_s`, the seeder is told that it is waited for and leases it at once, to one node alone if several wait for
the same; if it has not come within `lease_s` more, the node fetches it from an origin by itself, and again, ever less
often, until it is there. That is up to three times as long, drawn anew each time: a rack that boots reads the same, and
the first who fetches gives it to all. After `report_s` without it, somebody is told; the read goes on waiting as long
as the server of reads lets it. Reads in sequence look ahead: the pieces that follow are asked of the neighbours too,
twice as many with each step. Before anything can be read a boot waits for its boot set; if nothing of that comes for as
long as is not normal, what is lacking goes the same way, however much comes that can wait.

Pure: `now_s` comes in, requests go out, timers are requests (docs/decisions/0056).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from random import Random

from leecher.policy.node_policy import Wanted
from swarmboot.backoff import doubled_s
from swarmboot.ids import InfoHash, PieceIndex
from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces

URGENT_MAX = 16
"""So many pieces at most are named to the seeder at once: more readers than these wait for each other anyhow."""


@dataclass(frozen=True, slots=True)
class DemandLimits:
    """The constants, in seconds and pieces. `ahead_max` is how far reads in sequence look ahead."""

    neighbours_s: float = 0.05
    lease_s: float = 1.5
    origin_s: float = 2.0
    origin_max_s: float = 16.0
    report_s: float = 60.0
    ahead_max: int = 16


@dataclass(frozen=True, slots=True)
class HurryRequest:
    """Asks the shell to have neighbours send a piece before others, within `deadline_s`: occurs when it is read."""

    info_hash: InfoHash
    index: PieceIndex
    deadline_s: float


@dataclass(frozen=True, slots=True)
class TellRequest:
    """Asks the shell to announce which pieces are waited for: occurs when neighbours did not bring one in time."""


@dataclass(frozen=True, slots=True)
class OriginRequest:
    """Asks the shell to fetch one piece from an origin now: occurs when a lease did not bring it in time either."""

    info_hash: InfoHash
    index: PieceIndex


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """Asks the shell to tell somebody that a read waits for too long: occurs once for each piece."""

    info_hash: InfoHash
    index: PieceIndex
    waited_s: float


DemandRequest = HurryRequest | TellRequest | OriginRequest | ReportRequest


_LONGEST_TIMES = 3.0


class Step(IntEnum):
    """Who has been asked for a piece."""

    NEIGHBOURS = 0
    SEEDER = 1
    ORIGIN = 2


@dataclass(slots=True)
class _Waited:
    since_s: float
    due_s: float
    step: Step = Step.NEIGHBOURS
    tries: int = 0
    is_reported: bool = False


class Demands:
    """The reads of one node that wait, and those that may come next. `wanted` may grow."""

    def __init__(
        self, wanted: Mapping[InfoHash, Wanted], *, random: Random, limits: DemandLimits | None = None
    ) -> None:
        self._random = random
        self.limits = limits or DemandLimits()
        self._wanted = wanted
        self._waited: dict[tuple[InfoHash, PieceIndex], _Waited] = {}
        self._ahead: dict[InfoHash, tuple[int, int]] = {}
        self._hurried: dict[InfoHash, int] = {}
        self._queue: list[DemandRequest] = []
        self._lacking = -1
        self._boot_s = 0.0

    @property
    def is_waited_for(self) -> bool:
        """Return whether a read waits."""
        return bool(self._waited)

    def urgent(self) -> tuple[tuple[InfoHash, PieceIndex], ...]:
        """Return the pieces to be named to the seeder, those first that are waited for longest."""
        overdue = [(each.since_s, piece) for piece, each in self._waited.items() if each.step is not Step.NEIGHBOURS]
        return tuple(piece for _, piece in sorted(overdue)[:URGENT_MAX])

    def read(self, info_hash: InfoHash, index: PieceIndex, *, have: Pieces) -> None:
        """Occurs when a piece is read for the first time, there or not; `have` are the pieces that are there."""
        last, ahead = self._ahead.get(info_hash, (-2, 0))
        is_next = index == last + 1
        ahead = min(self.limits.ahead_max, max(1, 2 * ahead)) if is_next else 0
        self._ahead[info_hash] = index, ahead
        most = self._wanted[info_hash].count
        for place in range(1, ahead + 1):
            if index + place < most and not have >> (index + place) & 1:
                self._hurry(info_hash, PieceIndex(index + place), self.limits.neighbours_s * (1 + place))

    def read_waits(self, info_hash: InfoHash, index: PieceIndex, *, now_s: float) -> None:
        """Occurs when a read cannot go on without a piece."""
        if (info_hash, index) in self._waited:
            return
        self._waited[info_hash, index] = _Waited(now_s, now_s + self.limits.neighbours_s)
        self._hurry(info_hash, index, 0.0)

    def boot_waits(self, have: Mapping[InfoHash, Pieces], *, patience_s: float, now_s: float) -> None:
        """Take note of what is there; if a boot lacks pieces and got none for `patience_s`, they are waited for."""
        first = {h: want.first & ~have[h] for h, want in self._wanted.items()}
        lacking = sum(pieces.bit_count() for pieces in first.values())
        if lacking != self._lacking:
            self._lacking, self._boot_s = lacking, now_s
        elif lacking and now_s - self._boot_s >= patience_s:
            pieces = ((info_hash, index) for info_hash, each in first.items() for index in piece_set.each(each))
            for info_hash, index in islice(pieces, URGENT_MAX):
                self.read_waits(info_hash, index, now_s=now_s)

    def _hurry(self, info_hash: InfoHash, index: PieceIndex, deadline_s: float) -> None:
        is_known = self._hurried.get(info_hash, 0) >> index & 1
        if deadline_s and is_known:
            return
        self._hurried[info_hash] = self._hurried.get(info_hash, 0) | 1 << index
        self._queue.append(HurryRequest(info_hash, index, deadline_s))

    def piece_arrived(self, info_hash: InfoHash, index: PieceIndex) -> bool:
        """Occurs when a verified piece is there; return whether a read waited for it."""
        return self._waited.pop((info_hash, index), None) is not None

    def requests(self, *, now_s: float) -> list[DemandRequest]:
        """Return what is to be done now."""
        is_news = False
        for (info_hash, index), waited in self._waited.items():
            if now_s >= waited.due_s:
                is_news |= waited.step is Step.NEIGHBOURS
                self._queue += self._next_step(info_hash, index, waited, now_s)
            if not waited.is_reported and now_s - waited.since_s >= self.limits.report_s:
                waited.is_reported = True
                self._queue.append(ReportRequest(info_hash, index, now_s - waited.since_s))
        queue, self._queue = self._queue, []
        return [*queue, TellRequest()] if is_news else queue

    def _next_step(self, info_hash: InfoHash, index: PieceIndex, waited: _Waited, now_s: float) -> list[DemandRequest]:
        if waited.step is Step.NEIGHBOURS:
            waited.step = Step.SEEDER
            waited.due_s = now_s + self.limits.lease_s * self._random.uniform(1.0, _LONGEST_TIMES)
            return []
        waited.step, waited.tries = Step.ORIGIN, waited.tries + 1
        waited.due_s = now_s + doubled_s(self.limits.origin_s, self.limits.origin_max_s, waited.tries)
        return [OriginRequest(info_hash, index)]

    def next_wake_s(self) -> float:
        """Return when `requests` should be asked again if no fact arrives before."""
        if self._queue:
            return 0.0
        reports = (each.since_s + self.limits.report_s for each in self._waited.values() if not each.is_reported)
        return min((*(each.due_s for each in self._waited.values()), *reports), default=math.inf)
