"""How much is asked for ahead, by how fast links are."""

from __future__ import annotations

import pytest

from leecher.policy.ahead import ahead_bytes, seed_ahead_bytes

PIECE_BYTES = 1 << 17
MBIT_PER_S = 125_000.0


@pytest.mark.parametrize(
    ("link_bytes_per_s", "ahead"),
    [
        (0.0, PIECE_BYTES),
        (5 * MBIT_PER_S, PIECE_BYTES // 2),
        (100 * MBIT_PER_S, PIECE_BYTES // 2),
        (300 * MBIT_PER_S, 93_750),
        (1000 * MBIT_PER_S, PIECE_BYTES),
        (100_000 * MBIT_PER_S, PIECE_BYTES),
    ],
)
def test_fast_links_have_a_piece_under_way_and_slow_ones_half_of_one(link_bytes_per_s: float, ahead: int) -> None:
    assert ahead_bytes(PIECE_BYTES, link_bytes_per_s) == ahead


@pytest.mark.parametrize(
    ("link_bytes_per_s", "ahead"),
    [
        (0.0, PIECE_BYTES),
        (100 * MBIT_PER_S, PIECE_BYTES),
        (500 * MBIT_PER_S, 250_000),
        (1000 * MBIT_PER_S, 500_000),
        (100_000 * MBIT_PER_S, 1 << 19),
    ],
)
def test_a_seed_has_more_under_way_on_fast_links(link_bytes_per_s: float, ahead: int) -> None:
    assert seed_ahead_bytes(PIECE_BYTES, link_bytes_per_s) == ahead
    assert seed_ahead_bytes(1 << 20, link_bytes_per_s) == 1 << 20
