"""What becomes of a read that waits: neighbours, then the seeder, then an origin, each with a deadline."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from leecher.policy.demands import (
    URGENT_MAX,
    DemandLimits,
    Demands,
    HurryRequest,
    OriginRequest,
    ReportRequest,
    TellRequest,
)
from leecher.policy.node_policy import Wanted
from swarmboot.ids import InfoHash, PieceIndex

ROOT = InfoHash(b"r" * 32)
LIMITS = DemandLimits()


def build_demands(*, count: int = 64) -> Demands:
    return Demands({ROOT: Wanted(ROOT, count, 1 << 16)}, random=Random(1))


def at(index: int) -> PieceIndex:
    return PieceIndex(index)


def test_a_read_that_waits_asks_the_neighbours_for_its_piece_at_once() -> None:
    demands = build_demands()
    demands.read_waits(ROOT, at(7), now_s=1.0)
    assert demands.requests(now_s=1.0) == [HurryRequest(ROOT, at(7), 0.0)]
    assert demands.urgent() == ()


def test_after_the_neighbours_the_seeder_is_told_and_then_an_origin_asked() -> None:
    demands = build_demands()
    demands.read_waits(ROOT, at(7), now_s=0.0)
    demands.requests(now_s=0.0)
    due_s = demands.next_wake_s()
    assert due_s == LIMITS.neighbours_s
    assert demands.requests(now_s=due_s) == [TellRequest()]
    assert demands.urgent() == ((ROOT, at(7)),)
    due_s = demands.next_wake_s()
    assert LIMITS.lease_s <= due_s - LIMITS.neighbours_s <= 3 * LIMITS.lease_s
    assert demands.requests(now_s=due_s) == [OriginRequest(ROOT, at(7))]


def test_an_origin_is_asked_again_ever_less_often_for_as_long_as_the_read_waits() -> None:
    demands = build_demands()
    demands.read_waits(ROOT, at(7), now_s=0.0)
    asked: list[float] = []
    now_s = 0.0
    while now_s < 50.0:
        asked += [now_s for request in demands.requests(now_s=now_s) if isinstance(request, OriginRequest)]
        now_s = max(demands.next_wake_s(), now_s + 0.01)
    pauses = [round(later - sooner, 3) for sooner, later in pairwise(asked)]
    assert len(asked) > 3
    assert pauses == sorted(pauses)
    assert max(pauses) <= LIMITS.origin_max_s + 0.1


def test_a_read_that_waits_for_too_long_is_reported_once() -> None:
    demands = build_demands()
    demands.read_waits(ROOT, at(7), now_s=0.0)
    reports = [
        request
        for now_s in (0.0, LIMITS.report_s, LIMITS.report_s + 1.0, 2 * LIMITS.report_s)
        for request in demands.requests(now_s=now_s)
        if isinstance(request, ReportRequest)
    ]
    assert reports == [ReportRequest(ROOT, at(7), LIMITS.report_s)]


def test_a_piece_that_has_come_is_asked_for_no_more() -> None:
    demands = build_demands()
    demands.read_waits(ROOT, at(7), now_s=0.0)
    demands.requests(now_s=LIMITS.neighbours_s)
    assert demands.piece_arrived(ROOT, at(7))
    assert not demands.piece_arrived(ROOT, at(7))
    assert demands.requests(now_s=1000.0) == []
    assert demands.urgent() == ()
    assert demands.next_wake_s() == math.inf


def test_reads_in_sequence_look_ahead_ever_further_and_others_do_not() -> None:
    demands = build_demands()
    for index in (0, 1, 2):
        demands.read(ROOT, at(index), have=0b111)
    hurried = [request.index for request in demands.requests(now_s=0.0) if isinstance(request, HurryRequest)]
    assert hurried == [3, 4]
    demands.read(ROOT, at(40), have=0b111)
    assert demands.requests(now_s=0.0) == []


def test_what_is_there_is_not_asked_for_ahead() -> None:
    demands = build_demands(count=4)
    for index in (0, 1, 2):
        demands.read(ROOT, at(index), have=0b1111)
    assert demands.requests(now_s=0.0) == []


def test_a_piece_asked_for_ahead_comes_first_once_a_read_waits_for_it() -> None:
    demands = build_demands()
    demands.read(ROOT, at(0), have=1)
    demands.read(ROOT, at(1), have=3)
    demands.requests(now_s=0.0)
    demands.read_waits(ROOT, at(2), now_s=0.1)
    assert demands.requests(now_s=0.1) == [HurryRequest(ROOT, at(2), 0.0)]


class Waiting(RuleBasedStateMachine):
    """Reads, arrivals and time in any order: nothing that waits is forgotten, nothing that came is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.demands = build_demands(count=40)
        self.have = 0
        self.waits: dict[int, float] = {}
        self.fetched: dict[int, float] = {}
        self.now_s = 0.0

    @rule(index=st.integers(0, 39))
    def read(self, index: int) -> None:
        self.demands.read(ROOT, at(index), have=self.have)
        if not self.have >> index & 1:
            self.demands.read_waits(ROOT, at(index), now_s=self.now_s)
            self.waits.setdefault(index, self.now_s)

    @rule(index=st.integers(0, 39))
    def arrive(self, index: int) -> None:
        self.have |= 1 << index
        assert self.demands.piece_arrived(ROOT, at(index)) == (index in self.waits)
        self.waits.pop(index, None)

    @rule(passed_s=st.floats(0.01, 30.0))
    def act(self, passed_s: float) -> None:
        self.now_s += passed_s
        for request in self.demands.requests(now_s=self.now_s):
            if isinstance(request, OriginRequest):
                assert request.index in self.waits
                self.fetched[request.index] = self.now_s

    @invariant()
    def all_that_waits_is_due_within_its_longest_pause(self) -> None:
        due_s = self.demands.next_wake_s()
        assert (due_s < math.inf) == bool(self.waits) or due_s == 0.0
        if self.waits:
            assert due_s <= self.now_s + LIMITS.origin_max_s

    @invariant()
    def the_seeder_is_told_of_nothing_else_than_what_waits(self) -> None:
        urgent = [index for _, index in self.demands.urgent()]
        assert len(urgent) <= URGENT_MAX
        assert set(urgent) <= set(self.waits)


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


def wait_for_boot(demands: Demands, have: int, *, now_s: float) -> set[int]:
    """Return of which pieces neighbours are asked now that so many are there."""
    demands.boot_waits({ROOT: have}, patience_s=4.0, now_s=now_s)
    return {each.index for each in demands.requests(now_s=now_s) if isinstance(each, HurryRequest)}


def test_a_boot_set_of_which_nothing_comes_goes_the_way_of_a_read_whatever_else_comes() -> None:
    demands = Demands({ROOT: Wanted(ROOT, 64, 1 << 16, first=0b111)}, random=Random(1))
    assert [wait_for_boot(demands, have, now_s=now_s) for now_s, have in ((1.0, 0), (4.0, 0b001))] == [set(), set()]
    assert wait_for_boot(demands, 0b1111_0001, now_s=7.9) == set()
    assert wait_for_boot(demands, 0b1111_0001, now_s=8.0) == {1, 2}
    assert demands.requests(now_s=8.0 + LIMITS.neighbours_s) == [TellRequest()]
    assert demands.urgent() == ((ROOT, 1), (ROOT, 2))
    late_s = 8.1 + 3 * LIMITS.lease_s
    assert {each.index for each in demands.requests(now_s=late_s) if isinstance(each, OriginRequest)} == {1, 2}
    demands.piece_arrived(ROOT, at(1))
    demands.piece_arrived(ROOT, at(2))
    assert wait_for_boot(demands, 0b1111_0111, now_s=20.0) == set()
    assert wait_for_boot(demands, 0b1111_0111, now_s=99.0) == set()
    assert not demands.is_waited_for


def test_of_a_large_boot_set_only_so_much_is_waited_for_at_once() -> None:
    demands = Demands({ROOT: Wanted(ROOT, 64, 1 << 16, first=(1 << 64) - 1)}, random=Random(1))
    wait_for_boot(demands, 0, now_s=0.0)
    assert wait_for_boot(demands, 0, now_s=4.0) == set(range(URGENT_MAX))
