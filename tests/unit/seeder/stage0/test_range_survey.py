"""Who stands in a DHCP range without a lease, as the kernel's table and dnsmasq's file say it."""

from __future__ import annotations

import ipaddress

from seeder.stage0.range_survey import leased_addresses, owned_addresses

ARP = """IP address       HW type     Flags       HW address            Mask     Device
10.0.0.120       0x1         0x2         52:54:00:00:98:01     *        eth1
10.0.0.121       0x1         0x0         00:00:00:00:00:00     *        eth1
10.0.0.122       0x1         0x6         52:54:00:00:98:02     *        eth1
10.0.0.123       0x1         0x2         52:54:00:00:98:03     *        eth2
"""


def test_only_who_has_answered_on_that_interface_stands_there() -> None:
    assert owned_addresses(ARP, "eth1") == {ipaddress.IPv4Address("10.0.0.120"), ipaddress.IPv4Address("10.0.0.122")}


def test_a_lease_counts_until_its_end_and_one_without_an_end_for_ever() -> None:
    file = "1000 52:54:00:00:98:01 10.0.0.1 * *\n900 52:54:00:00:98:02 10.0.0.2 * *\n0 52:54:00:00:98:03 10.0.0.3 * *\n"
    assert leased_addresses(file, now_s=950) == {ipaddress.IPv4Address("10.0.0.1"), ipaddress.IPv4Address("10.0.0.3")}


def test_what_is_no_lease_in_the_file_is_passed_over() -> None:
    assert leased_addresses("duid 00:01:00:01\n\nx y z\n1\n", now_s=0) == set()
