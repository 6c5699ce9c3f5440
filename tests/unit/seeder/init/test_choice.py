"""Which interface and which addresses are proposed to somebody who has said nothing."""

from __future__ import annotations

import ipaddress

import pytest

from seeder.init.choice import RANGE_MAX, Card, choose_card, propose_range


def card(name: str, *, address: str = "10.0.0.1/24", has_link: bool = True, is_way_out: bool = False) -> Card:
    return Card(name, ipaddress.IPv4Interface(address), has_link, is_way_out)


@pytest.mark.parametrize(
    ("cards", "chosen"),
    [
        ([card("eth0", is_way_out=True), card("eth1")], "eth1"),
        ([card("eth1"), card("eth0")], "eth0"),
        ([card("eth0", is_way_out=True), card("eth1", has_link=False)], "eth1"),
        ([card("eth0", has_link=False), card("eth1")], "eth1"),
        ([card("docker0"), card("eth0", is_way_out=True), card("virbr0"), card("wg0")], "eth0"),
        ([card("br-rack"), card("br-0123456789ab")], "br-rack"),
        ([card("eth0", address="10.0.0.1/31"), card("eth1", address="10.0.1.1/30")], None),
        ([], None),
    ],
)
def test_machines_are_where_there_is_a_link_that_does_not_lead_out(cards: list[Card], chosen: str | None) -> None:
    found = choose_card(cards)
    assert (found.name if found else None) == chosen


@pytest.mark.parametrize(
    ("address", "taken", "proposed"),
    [
        ("10.0.0.1/24", [], ("10.0.0.11", "10.0.0.254")),
        ("10.0.0.254/24", [], ("10.0.0.11", "10.0.0.253")),
        ("10.0.0.1/24", ["10.0.0.100"], ("10.0.0.101", "10.0.0.254")),
        ("10.0.0.1/24", ["10.0.0.100", "10.0.0.120", "10.0.0.250"], ("10.0.0.121", "10.0.0.249")),
        ("10.0.0.1/24", ["192.168.0.7", "10.0.0.3"], ("10.0.0.11", "10.0.0.254")),
        ("10.0.0.1/29", [], ("10.0.0.3", "10.0.0.6")),
        ("10.0.0.4/30", [], None),
        ("10.0.0.1/29", ["10.0.0.4", "10.0.0.6"], None),
    ],
)
def test_the_longest_run_that_nobody_is_in_is_proposed(
    address: str, taken: list[str], proposed: tuple[str, str] | None
) -> None:
    run = propose_range(ipaddress.IPv4Interface(address), [ipaddress.IPv4Address(each) for each in taken])
    assert (tuple(map(str, run)) if run else None) == proposed


def test_of_a_large_network_no_more_is_proposed_than_somebody_may_mean() -> None:
    run = propose_range(ipaddress.IPv4Interface("10.0.0.1/8"), [])
    assert run is not None
    assert int(run[1]) - int(run[0]) + 1 == RANGE_MAX
