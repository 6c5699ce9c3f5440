"""Max-min rates against textbook cases, and the properties that make an allocation max-min fair."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.fluid.max_min import EXACT, max_min_rates

CLOSE = pytest.approx


def rates_of(
    paths: list[list[int]], capacity: list[float], *, weights: list[int] | None = None, rounds: int = EXACT
) -> list[float]:
    width = max(map(len, paths))
    nowhere = len(capacity)
    rows = np.array([[*path, *[nowhere] * (width - len(path))] for path in paths])
    shares = None if weights is None else np.array(weights, np.float64)
    rates = max_min_rates(rows.T, np.array([*capacity, math.inf]), weights=shares, rounds=rounds)
    return [float(rate) for rate in rates]


def test_flows_on_one_link_share_it_equally() -> None:
    assert rates_of([[0]] * 4, [100.0]) == [25.0] * 4


def test_a_star_gives_every_leaf_the_smaller_of_its_link_and_its_share_of_the_centre() -> None:
    slow_leaf, fast_leaves = 5.0, [100.0, 100.0, 100.0]
    paths = [[0, 1 + leaf] for leaf in range(4)]
    assert rates_of(paths, [65.0, slow_leaf, *fast_leaves]) == CLOSE([5.0, 20.0, 20.0, 20.0])


def test_two_racks_are_held_back_by_their_uplinks_and_neighbours_take_what_is_left() -> None:
    server, uplink_a, uplink_b, node = 100.0, 10.0, 60.0, 50.0
    paths = [[0, 1, 3], [0, 1, 4], [0, 2, 5], [0, 2, 6]]
    assert rates_of(paths, [server, uplink_a, uplink_b, node, node, node, node]) == CLOSE([5.0, 5.0, 30.0, 30.0])


def test_the_parking_lot_chain_gives_the_long_flow_its_share_of_the_tightest_hop() -> None:
    hops = [10.0, 6.0, 8.0]
    assert rates_of([[0, 1, 2], [0], [1], [2]], hops) == CLOSE([3.0, 7.0, 3.0, 5.0])


def test_n_equal_nodes_that_all_send_to_all_fill_every_link() -> None:
    nodes, rate = 12, 7.0
    pairs = [(i, j) for i in range(nodes) for j in range(nodes) if i != j]
    rates = rates_of([[i, nodes + j] for i, j in pairs], [rate] * (2 * nodes))
    assert rates == CLOSE([rate / (nodes - 1)] * len(pairs))


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[list[int]], list[float]]:
    links = draw(st.integers(1, 8))
    capacity = draw(st.lists(st.floats(0.5, 100.0), min_size=links, max_size=links))
    path = st.lists(st.integers(0, links - 1), min_size=1, max_size=4, unique=True)
    return draw(st.lists(path, min_size=1, max_size=25)), capacity


@given(networks())
def test_no_link_carries_more_than_it_can(network: tuple[list[list[int]], list[float]]) -> None:
    paths, capacity = network
    for rounds in (1, 2, 1000):
        rates = rates_of(paths, capacity, rounds=rounds)
        for link, most in enumerate(capacity):
            assert sum(rate for rate, path in zip(rates, paths, strict=True) if link in path) <= most * (1 + 1e-9)


@given(networks())
def test_every_flow_has_a_full_link_where_no_other_flow_has_more(network: tuple[list[list[int]], list[float]]) -> None:
    paths, capacity = network
    rates = rates_of(paths, capacity)
    for rate, path in zip(rates, paths, strict=True):
        assert any(
            math.isclose(
                sum(others := [r for r, p in zip(rates, paths, strict=True) if link in p]), capacity[link], rel_tol=1e-9
            )
            and rate >= max(others) * (1 - 1e-9)
            for link in path
        )


@given(networks(), st.data())
def test_a_flow_of_several_shares_gets_what_so_many_flows_of_its_path_would(
    network: tuple[list[list[int]], list[float]], data: st.DataObject
) -> None:
    paths, capacity = network
    weights = data.draw(st.lists(st.integers(1, 5), min_size=len(paths), max_size=len(paths)))
    apart = rates_of([path for path, weight in zip(paths, weights, strict=True) for _ in range(weight)], capacity)
    ends = np.cumsum(weights)
    together = [sum(apart[end - weight : end]) for end, weight in zip(ends, weights, strict=True)]
    assert rates_of(paths, capacity, weights=weights) == CLOSE(together)
