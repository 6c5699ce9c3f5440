"""Which machines were told what to boot, from dnsmasq's own lines."""

from __future__ import annotations

import pytest

from seeder.stage0.dhcp.dhcp_watch import QUESTION, DhcpWatch
from seeder.stage0.dhcp.pool import given, turned_away

MAC = "52:54:00:00:98:77"


def heard(*lines: str) -> list[str]:
    watch = DhcpWatch()
    return [mac for line in lines if (mac := watch.hear(f"dnsmasq-dhcp: {line}"))]


NAMED = ("77 bootfile name: undionly.kpxe", "77 sent size: 27 option: 67 bootfile-name  http://10.98.0.1/boot.ipxe")


@pytest.mark.parametrize("named", NAMED, ids=["field", "option"])
def test_a_machine_that_is_given_a_boot_file_is_told_what_to_boot(named: str) -> None:
    assert heard(
        "77 vendor class: PXEClient:Arch:00000:UNDI:003016",
        f"77 DHCPDISCOVER(rack) {MAC} ",
        "77 tags: bios, pxebios, rack",
        f"77 DHCPOFFER(rack) 10.98.0.101 {MAC} ",
        "77 requested options: 1:netmask, 3:router, 67:bootfile-name",
        "77 next server: 10.98.0.1",
        named,
    ) == [MAC]


def test_a_system_that_asks_for_an_address_is_not() -> None:
    assert (
        heard(f"78 DHCPREQUEST(rack) 10.98.0.101 {MAC}", f"78 DHCPACK(rack) 10.98.0.101 {MAC} node", "78 tags: rack")
        == []
    )


def test_transactions_that_run_at_once_are_told_apart_and_their_number_is_bounded() -> None:
    other = "52:54:00:00:98:78"
    lines = [f"1 DHCPACK(rack) 10.98.0.1 {MAC}", f"2 DHCPACK(rack) 10.98.0.2 {other}", "1 bootfile name: x"]
    assert heard(*lines) == [MAC]
    flood = [f"{number} DHCPACK(rack) 10.98.0.2 {other}" for number in range(2, 2000)]
    assert heard(lines[0], *flood, "1 bootfile name: x", "1999 bootfile name: x") == [other]


def test_a_proxy_that_answers_tells_what_to_boot() -> None:
    assert heard(f"79 PXE(rack) {MAC} proxy") == [MAC]
    assert heard(f"79 PXE(rack) 10.98.0.101 {MAC} undionly.kpxe") == [MAC]


def test_what_doctor_asks_is_no_machine_that_boots() -> None:
    ours = f"{QUESTION}:98:77"
    assert heard(f"80 DHCPOFFER(rack) 10.98.0.101 {ours} ", NAMED[0].replace("77 b", "80 b")) == []
    assert heard(f"81 PXE(rack) {ours} proxy") == []
    for mac, known in ((MAC, MAC), (ours, "")):
        assert given(f"dnsmasq-dhcp: 82 DHCPOFFER(rack) 10.98.0.101 {mac} ") == known
        assert turned_away(f"dnsmasq-dhcp: 83 DHCPDISCOVER(rack) {mac} no address available") == known
