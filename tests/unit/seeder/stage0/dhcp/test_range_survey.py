"""Who stands in a DHCP range without a lease, as the kernel's table and dnsmasq's file say it."""

from __future__ import annotations

import ipaddress

from seeder.stage0.dhcp.range_survey import leased_addresses, who_answered

ARP = """IP address       HW type     Flags       HW address            Mask     Device
10.0.0.120       0x1         0x2         52:54:00:00:98:01     *        eth1
10.0.0.121       0x1         0x0         00:00:00:00:00:00     *        eth1
10.0.0.122       0x1         0x6         52:54:00:00:98:02     *        eth1
10.0.0.123       0x1         0x2         52:54:00:00:98:03     *        eth2
"""


def addresses(*last: int) -> list[ipaddress.IPv4Address]:
    return [ipaddress.IPv4Address(f"10.0.0.{each}") for each in last]


def test_only_who_has_answered_on_that_interface_stands_there() -> None:
    assert who_answered(ARP, "eth1", addresses(120, 121, 122)) == tuple(addresses(120, 122))
    assert who_answered(ARP, "eth1", addresses(121)) == ()


def test_nothing_is_known_of_a_range_that_the_kernels_table_had_no_room_for() -> None:
    assert who_answered(ARP, "eth1", addresses(120, 121, 124)) is None
    assert who_answered(ARP, "eth1", addresses(123)) is None, "it answered on another interface"


def test_a_lease_counts_until_its_end_and_one_without_an_end_for_ever() -> None:
    file = "1000 52:54:00:00:98:01 10.0.0.1 * *\n900 52:54:00:00:98:02 10.0.0.2 * *\n0 52:54:00:00:98:03 10.0.0.3 * *\n"
    assert leased_addresses(file, now_s=950) == {ipaddress.IPv4Address("10.0.0.1"), ipaddress.IPv4Address("10.0.0.3")}


def test_what_is_no_lease_in_the_file_is_passed_over() -> None:
    assert leased_addresses("duid 00:01:00:01\n\nx y z\n1\n", now_s=0) == set()
