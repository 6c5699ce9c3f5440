"""Pauses between attempts."""

from __future__ import annotations

from random import Random

import pytest

from swarmboot.backoff import Backoff, doubled_s


@pytest.mark.parametrize(("times", "pause_s"), [(0, 0.5), (1, 1.0), (3, 4.0), (5, 8.0), (5000, 8.0)])
def test_a_pause_doubles_up_to_its_bound(times: int, pause_s: float) -> None:
    assert doubled_s(0.5, 8.0, times) == pause_s


def test_pauses_are_between_half_and_all_of_it_and_begin_again_after_a_success() -> None:
    backoff = Backoff(Random(1), first_s=1.0, max_s=4.0)
    for bound_s in (1.0, 2.0, 4.0, 4.0):
        assert bound_s / 2 <= backoff.next_s() <= bound_s
    backoff.reset()
    assert backoff.next_s() <= 1.0
