"""The fluid limit against cases worked out by hand, and what must hold for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.lab.rack.fluid_limit import LinkRates, least_time_s, unicast_time_s

FAST = 12_500_000.0
rates_bytes_per_s = st.floats(min_value=1e3, max_value=1e10)
sizes_bytes = st.integers(min_value=1, max_value=10**12)
counts = st.integers(min_value=1, max_value=1000)


def test_equal_links_make_the_limit_one_transfer_whatever_the_number_of_nodes() -> None:
    rates = LinkRates(FAST, FAST)
    assert {least_time_s(25_000_000, nodes, rates) for nodes in (1, 8, 500)} == {2.0}


def test_a_slow_server_must_still_send_every_byte_once() -> None:
    assert least_time_s(25_000_000, 8, LinkRates(FAST / 10, FAST)) == 20.0


def test_nodes_slower_than_the_server_must_still_receive_every_byte() -> None:
    assert least_time_s(25_000_000, 8, LinkRates(FAST * 10, FAST)) == 2.0


def test_every_rack_imports_one_copy_over_its_uplink() -> None:
    assert least_time_s(25_000_000, 8, LinkRates(FAST, FAST, 2, FAST / 4)) == 8.0


def test_the_core_delivers_a_copy_to_every_rack() -> None:
    # 4 racks need 100 MB through the core; the server gives 5 MB/s and three other racks 6 MB/s each.
    rates = LinkRates(5e6, 1e9, 4, 6e6)
    assert least_time_s(25_000_000, 8, rates) == max(25 / 5, 25 / 6, 100 / 23)


def test_the_last_node_to_start_still_needs_its_own_download() -> None:
    assert least_time_s(25_000_000, 8, LinkRates(FAST, FAST), last_start_s=7.0) == 9.0


def test_unicast_takes_one_transfer_a_node_when_the_server_is_no_faster_than_one() -> None:
    assert unicast_time_s(25_000_000, 8, LinkRates(FAST, FAST)) == 16.0


@given(sizes_bytes, counts, rates_bytes_per_s, rates_bytes_per_s)
def test_no_number_of_helpers_makes_the_limit_longer_than_unicast(
    size_bytes: int, nodes: int, server: float, node: float
) -> None:
    rates = LinkRates(server, node)
    assert least_time_s(size_bytes, nodes, rates) <= unicast_time_s(size_bytes, nodes, rates) * (1 + 1e-9)


@given(sizes_bytes, rates_bytes_per_s, rates_bytes_per_s)
def test_one_node_alone_takes_what_the_slower_of_two_links_takes(size_bytes: int, server: float, node: float) -> None:
    assert least_time_s(size_bytes, 1, LinkRates(server, node)) == pytest.approx(size_bytes / min(server, node))


@given(rates_bytes_per_s, rates_bytes_per_s, st.none() | rates_bytes_per_s)
def test_the_slowest_link_is_none_other_than_one_of_them(server: float, node: float, uplink: float | None) -> None:
    rates = LinkRates(server, node, 2 if uplink else 1, uplink)
    given_rates = {server, node, uplink} - {None}
    assert rates.slowest_bytes_per_s in given_rates
    assert all(rates.slowest_bytes_per_s <= rate for rate in given_rates if rate is not None)
