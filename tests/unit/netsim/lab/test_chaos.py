"""What a chaos row must hold, what fate has for a soak's racks, and what the liar changes: decisions and bytes only."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from netsim.lab.chaos.guests.liar import alter
from netsim.lab.chaos.rack import Boot
from netsim.lab.chaos.rows.table import ROWS, rows_named
from netsim.lab.chaos.soak import MAX_RACK, MIN_RACK, Fate, Tally, draw_rack, table_of
from netsim.lab.chaos.verdict import Ending, Outcome, Terms, bound_s, judge, line_of, markdown_of
from swarmboot.errors import MalformedSettingError

TERMS = Terms(nodes=4, rate_bytes_per_s=1e6, size_bytes=1_000_000, seed=3)
BLOCK = b"\x07" + bytes(8) + b"block" * 100


def judged(*endings: Ending, fault_free_s: float | None = 1.0, faults: tuple[str, ...] = ()) -> Outcome:
    return judge(
        "row", TERMS, endings, fault_free_s=fault_free_s, plain_s=TERMS.plain_s, server_bytes=2_500_000, faults=faults
    )


def booted(seconds: float) -> Ending:
    return Ending(name="node", seconds=seconds)


def test_plain_https_sends_every_node_its_own_copy_one_after_the_other() -> None:
    assert TERMS.plain_s == 4.0


@pytest.mark.parametrize(("fault_free_s", "plain_s", "expected"), [(10.0, 4.0, 20.0), (1.0, 4.0, 4.4)])
def test_the_bound_is_the_longer_of_twice_the_fault_free_run_and_plain_https_and_a_tenth(
    fault_free_s: float, plain_s: float, expected: float
) -> None:
    assert bound_s(fault_free_s, plain_s) == pytest.approx(expected)


def test_a_row_in_which_everybody_boots_in_time_holds() -> None:
    outcome = judged(booted(1.0), booted(4.3))
    assert outcome.faults == ()
    assert (outcome.booted, outcome.expected, outcome.wrong) == (2, 2, 0)
    assert outcome.last_s == 4.3
    assert outcome.ratio == pytest.approx(4.3)
    assert outcome.server_copies == 2.5


def test_a_killed_node_owes_nothing() -> None:
    outcome = judged(booted(1.0), Ending(name="node1", is_killed=True, exit_status=-9))
    assert outcome.faults == ()
    assert (outcome.booted, outcome.expected) == (1, 1)


@pytest.mark.parametrize(
    ("ending", "fault"),
    [
        (Ending(name="node1", exit_status=22, words="refused"), "node1 ended with 22: refused"),
        (Ending(name="node1", words="trying again"), "node1 waits: trying again"),
        (Ending(name="node1", seconds=1.0, is_wrong=True), "node1 holds a wrong image"),
        (Ending(name="node1", is_killed=True, is_wrong=True), "node1 holds a wrong image"),
        (Ending(name="node1", seconds=4.5), "the last node took 4.5 s, allowed are 4.4 s"),
    ],
)
def test_what_fails_a_row_is_named(ending: Ending, fault: str) -> None:
    outcome = judged(booted(1.0), ending)
    assert outcome.faults == (fault,)
    assert "FAILED: " + fault in line_of(outcome)


def test_a_place_that_boots_again_leaves_a_report_of_its_own() -> None:
    nobody: Any = None
    paths = {Boot(name, nobody, Path("/run") / name, nobody).report_path for name in ("node11-0", "node11-1", "n.1")}
    assert {path.name for path in paths} == {"node11-0.json", "node11-1.json", "n.1.json"}


def test_the_fault_free_row_is_compared_with_itself() -> None:
    outcome = judged(booted(30.0), fault_free_s=None)
    assert outcome.faults == ()
    assert outcome.ratio == 1.0


def test_the_docs_have_the_worst_of_all_seeds_in_one_line_a_row() -> None:
    table = markdown_of([judged(booted(1.0)), judged(booted(2.0), faults=("verify failed",))])
    assert table.splitlines()[2:] == ["| `row` | 2 of 2 | 0 | 2.0 (2.00) | 4.4 | 2.50 | 1 of 2 |"]


def test_asking_for_a_row_plays_the_fault_free_one_before() -> None:
    assert [row.name for row in rows_named(("lease-burner",))] == ["fault-free", "lease-burner"]
    assert [row.name for row in rows_named(())] == list(ROWS)


def test_a_row_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(MalformedSettingError, match="seeder-killed-at-50"):
        rows_named(("seeder-kiled",))


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_every_row_says_what_it_does_in_one_sentence(row: Any) -> None:
    assert not row.says[0].islower()
    assert row.says.endswith(".")


def test_a_liar_alters_one_byte_of_a_block_and_nothing_else() -> None:
    told = alter(BLOCK, Random(1), 1.0)
    assert told[:9] == BLOCK[:9]
    assert sum(a != b for a, b in zip(told, BLOCK, strict=True)) == 1
    assert alter(BLOCK, Random(1), 0.0) == BLOCK
    for other in (b"", b"\x04\0\0\0\1", b"\x05" + bytes(100)):
        assert alter(other, Random(1), 1.0) == other


def test_a_liar_alters_as_many_blocks_as_it_is_told() -> None:
    random = Random(1)
    assert 5 <= sum(alter(BLOCK, random, 0.01) != BLOCK for _ in range(1000)) <= 20


def test_a_seed_draws_the_same_fates_again() -> None:
    assert draw_rack(Random("1 7"), 10) == draw_rack(Random("1 7"), 10)


def test_fates_stay_within_what_a_rack_survives() -> None:
    for seed in range(200):
        nodes = Random(seed).randint(MIN_RACK, MAX_RACK)
        fates = draw_rack(Random(seed), nodes)
        assert len(fates) == nodes
        assert sum(fate.killed_s is not None for fate in fates) <= 2
        assert sum(fate.start_s > 0 for fate in fates) <= 3
        assert sum(fate.slowness > 1 for fate in fates) <= 2


def test_a_soak_counts_first_tries_and_leaves_out_the_killed() -> None:
    tally = Tally(seed=1)
    failed = Ending(name="node1", exit_status=24, words="silence")
    tally.add([Fate(), Fate(start_s=1.0), Fate(killed_s=0.5)], [booted(1.0), failed, Ending(name="n", is_killed=True)])
    result = tally.result()
    assert (result.boots, result.booted, result.killed, result.late) == (2, 1, 1, 1)
    assert result.first_try == 0.5
    assert not result.has_held
    assert "rack 0: node1 ended with 24: silence" in table_of(result)


def test_a_soak_holds_with_one_failure_in_a_thousand_but_with_no_wrong_image() -> None:
    tally = Tally(seed=1)
    tally.add([Fate()] * 1000, [booted(1.0)] * 999 + [Ending(name="node", exit_status=20)])
    assert tally.result().has_held
    tally.add([Fate()], [Ending(name="node", is_killed=True, is_wrong=True)])
    assert not tally.result().has_held
