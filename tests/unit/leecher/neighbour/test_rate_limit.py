"""The pace of what a node sends."""

from __future__ import annotations

import pytest

from leecher.neighbour.rate_limit import TokenBucket


def test_a_pace_is_kept_over_all_who_share_it() -> None:
    pace = TokenBucket(100.0)
    assert pace.wait_s(10, now_s=5.0) == 0.0
    waits = [pace.wait_s(100, now_s=5.0) for _ in range(3)]
    assert waits == pytest.approx([0.0, 1.0, 2.0], abs=0.11)
    assert TokenBucket(0.0).wait_s(10**9, now_s=0.0) == 0.0
