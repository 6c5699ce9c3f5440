"""Machines that are seen in their firmware again: who is still believed."""

from __future__ import annotations

import math

from seeder.policy.resets import RESET_S, Resets


def test_a_machine_without_a_node_that_asks_was_not_reset() -> None:
    resets = Resets()
    resets.here(["a"])
    assert not resets.asks("b", now_s=1.0)
    assert resets.since_s(now_s=1.0) == -math.inf


def test_the_first_reset_of_a_while_is_what_counts_and_each_machine_counts_once() -> None:
    resets = Resets()
    resets.here(["a", "b"])
    assert resets.asks("a", now_s=1.0)
    assert not resets.asks("a", now_s=2.0)
    assert resets.asks("b", now_s=5.0)
    assert resets.since_s(now_s=5.0) == 1.0
    assert resets.since_s(now_s=1.0 + RESET_S) == 5.0
    assert resets.since_s(now_s=5.0 + RESET_S) == -math.inf
