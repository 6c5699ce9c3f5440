from __future__ import annotations

from leecher.policy.urgency import urgencies
from swarmboot.release import piece_set


def test_what_a_boot_reads_goes_before_all_else_however_rare_that_is() -> None:
    assert urgencies(4, first=piece_set.of((1, 2)), expected=0) == [4, 7, 7, 4]


def test_no_neighbour_is_asked_for_what_comes_from_elsewhere() -> None:
    assert urgencies(4, first=piece_set.of((1, 2)), expected=piece_set.of((2, 3))) == [4, 7, 0, 0]
