"""At which rate a node's pieces go out beside the stage 0 that machines load from it."""

from __future__ import annotations

import pytest

from leecher.neighbour.giving_way import LEFT_TO_PIECES, MOVES, allowed_bytes_per_s

LINK = 125e6


@pytest.mark.parametrize("limit", [0.0, 1e6, 60e6])
def test_without_a_load_that_moves_nothing_changes(limit: float) -> None:
    assert allowed_bytes_per_s(0.0, LINK, limit) == limit
    assert allowed_bytes_per_s(0.99 * MOVES * LINK, LINK, limit) == limit


def test_beside_one_pieces_keep_an_eighth_of_the_link() -> None:
    assert allowed_bytes_per_s(MOVES * LINK, LINK, 0.0) == LEFT_TO_PIECES * LINK


def test_what_the_operator_allows_is_never_passed() -> None:
    assert allowed_bytes_per_s(LINK, LINK, 1e6) == 1e6


def test_where_the_link_is_not_known_nothing_changes() -> None:
    assert allowed_bytes_per_s(LINK, 0.0, 0.0) == 0.0
