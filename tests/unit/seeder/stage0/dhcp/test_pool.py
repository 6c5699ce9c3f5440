"""What is said when no DHCP address is left."""

from __future__ import annotations

import pytest

from seeder.stage0.dhcp.pool import PoolWatch, given, turned_away

FULL = "dnsmasq-dhcp: DHCPDISCOVER(eth1) 52:54:00:00:00:{:02x} no address available"


@pytest.mark.parametrize(
    "line",
    [
        "dnsmasq-dhcp: DHCPDISCOVER(eth1) 52:54:00:00:00:03 no address available",
        "dnsmasq-dhcp: DHCPREQUEST(eth1) 10.77.0.9 52:54:00:00:00:03 no leases left",
    ],
)
def test_the_first_machine_without_an_address_is_named_with_what_to_do(line: str) -> None:
    said = PoolWatch().turned_away(turned_away(line), now_s=0.0)
    assert said.startswith("no address is left in --dhcp-range for 52:54:00:00:00:03: give a larger range")


def test_others_are_counted_and_told_once_a_minute() -> None:
    pool = PoolWatch()
    told = {
        second: pool.turned_away(turned_away(FULL.format(second % 4)), now_s=float(second)) for second in range(121)
    }
    assert [second for second, line in told.items() if line] == [0, 60, 120]
    assert "52:54:00:00:00:00 and 3 other machines since the last such line:" in told[60]


def test_what_dnsmasq_says_otherwise_is_passed_over() -> None:
    assert not turned_away("dnsmasq-dhcp: DHCPACK(eth1) 10.77.0.100 52:54:00:00:00:03")
    assert not turned_away("dnsmasq-dhcp: no address range available for DHCP request via eth1")
    assert not given("dnsmasq-dhcp: 7 DHCPDISCOVER(eth1) 52:54:00:00:00:03 no address available")


@pytest.mark.parametrize("kind", ["DHCPOFFER", "DHCPACK"])
def test_who_gets_an_address_is_heard(kind: str) -> None:
    assert given(f"dnsmasq-dhcp: 17 {kind}(eth1) 10.77.0.9 52:54:00:00:00:03 node-3") == "52:54:00:00:00:03"
