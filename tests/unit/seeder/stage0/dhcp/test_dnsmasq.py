"""What DHCP servers are told: every kind of firmware finds its file, and nobody is answered who was not meant."""

from __future__ import annotations

import ipaddress
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from seeder.stage0.dhcp.configuration_test import try_configuration
from seeder.stage0.dhcp.dhcp_options import parse_dhcp_option
from seeder.stage0.dhcp.dnsmasq import (
    BootFiles,
    DhcpPlan,
    dnsmasq_config,
    isc_config,
    kea_config,
    parse_dhcp_range,
    parse_pxe,
)
from swarmboot.errors import MalformedSettingError

NETWORK = ipaddress.IPv4Network("10.0.0.0/24")
FILES = BootFiles("undionly.kpxe", "snponly.efi", "snponly-arm64.efi")
FULL = DhcpPlan(
    interface="eth1",
    address=ipaddress.IPv4Interface("10.0.0.1/24"),
    origin="http://10.0.0.1",
    files=FILES,
    tftp_root="/srv/tftp",
    lease_file="/srv/leases",
    addresses=parse_dhcp_range("10.0.0.100,10.0.0.200,2h", NETWORK),
)
PROXY = replace(FULL, addresses=None)


@pytest.mark.needs("dnsmasq")
@pytest.mark.parametrize(
    "plan",
    [
        FULL,
        PROXY,
        replace(FULL, files=BootFiles("undionly.kpxe")),
        replace(PROXY, files=BootFiles()),
        replace(FULL, is_range_ours=True),
    ],
)
def test_dnsmasq_accepts_the_configuration(plan: DhcpPlan, tmp_path: Path) -> None:
    path = tmp_path / "dnsmasq.conf"
    path.write_text(dnsmasq_config(replace(plan, tftp_root=str(tmp_path))))
    done = subprocess.run(
        ["/usr/sbin/dnsmasq", "--test", f"--conf-file={path}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.needs("dnsmasq")
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("rooter,10.0.0.254", "a name that dnsmasq does not know: found rooter,10.0.0.254; did you mean router?"),
        ("netbios-ns,x", "dnsmasq does not take a --dhcp-option: found netbios-ns,x"),
    ],
)
def test_an_option_that_dnsmasq_does_not_take_is_named_as_it_was_typed(option: str, said: str, tmp_path: Path) -> None:
    plan = replace(FULL, tftp_root=str(tmp_path), options=(parse_dhcp_option(option),))
    (tmp_path / "dnsmasq.conf").write_text(dnsmasq_config(plan))
    with pytest.raises(MalformedSettingError, match=re.escape(said)):
        try_configuration(tmp_path / "dnsmasq.conf", plan)


@pytest.mark.needs("dnsmasq")
def test_a_line_of_the_operators_file_that_dnsmasq_does_not_take_is_shown(tmp_path: Path) -> None:
    more = tmp_path / "more.conf"
    more.write_text("# addresses\ndhcp-hots=52:54:00:00:00:01\n")
    plan = replace(FULL, tftp_root=str(tmp_path), more_file=str(more))
    (tmp_path / "dnsmasq.conf").write_text(dnsmasq_config(plan))
    with pytest.raises(MalformedSettingError, match=r"more\.conf:2, of --dhcp-conf: .*'dhcp-hots=52:54:00:00:00:01'"):
        try_configuration(tmp_path / "dnsmasq.conf", plan)


@pytest.mark.parametrize("plan", [FULL, PROXY])
def test_only_the_named_interface_is_answered_on(plan: DhcpPlan) -> None:
    lines = dnsmasq_config(plan).splitlines()
    assert [line for line in lines if line.startswith("interface=")] == ["interface=eth1"]
    assert {"except-interface=lo", "bind-interfaces", "port=0", "enable-tftp=eth1"} <= set(lines)


def test_a_full_server_gives_out_the_range_and_each_firmware_its_file() -> None:
    lines = set(dnsmasq_config(FULL).splitlines())
    assert "dhcp-range=10.0.0.100,10.0.0.200,255.255.255.0,7200" in lines
    assert "dhcp-boot=tag:pxebios,tag:!ipxe,undionly.kpxe,,10.0.0.1" in lines
    assert "dhcp-boot=tag:efi64,tag:!ipxe,snponly.efi,,10.0.0.1" in lines
    assert "dhcp-boot=tag:arm64,tag:!ipxe,snponly-arm64.efi,,10.0.0.1" in lines
    assert "dhcp-boot=tag:ipxe,http://10.0.0.1/boot.ipxe,,10.0.0.1" in lines
    assert "dhcp-boot=tag:http-efi64,tag:httpclient,http://10.0.0.1/boot/snponly.efi,,10.0.0.1" in lines
    assert "dhcp-option-force=tag:http-efi64,tag:httpclient,60,HTTPClient" in lines


def test_a_raspberry_pi_is_not_taken_for_a_bios() -> None:
    lines = dnsmasq_config(FULL).splitlines()
    assert "dhcp-mac=set:pi,dc:a6:32:*:*:*" in lines
    assert "tag-if=set:pxebios,tag:bios,tag:!pi,tag:!ipxe" in lines
    assert 'pxe-service=tag:pi,0,"Raspberry Pi Boot"' in lines


def test_no_address_is_pinged_first_where_nobody_stands_in_the_range_without_a_lease() -> None:
    assert "no-ping" not in dnsmasq_config(FULL).splitlines()
    assert "no-ping" in dnsmasq_config(replace(FULL, is_range_ours=True)).splitlines()
    assert "no-ping" not in dnsmasq_config(replace(PROXY, is_range_ours=True)).splitlines()


def test_a_proxy_gives_out_no_address() -> None:
    lines = dnsmasq_config(PROXY).splitlines()
    assert [line for line in lines if line.startswith("dhcp-range")] == ["dhcp-range=10.0.0.0,proxy"]
    assert not [line for line in lines if line.startswith(("dhcp-authoritative", "dhcp-leasefile"))]
    assert 'pxe-service=tag:!ipxe,x86-64_EFI,"swarmboot",snponly.efi' in lines


def test_firmware_that_this_server_has_no_ipxe_for_is_not_sent_to_one() -> None:
    config = dnsmasq_config(replace(FULL, files=BootFiles(bios="undionly.kpxe")))
    assert "# no iPXE for arm64 on this server" in config
    assert ".efi" not in config


@pytest.mark.parametrize(
    ("text", "found"), [("eth1", ("eth1", False)), ("br0.12,proxy", ("br0.12", True)), ("enp3s0", ("enp3s0", False))]
)
def test_an_interface_is_read_with_or_without_proxy(text: str, found: tuple[str, bool]) -> None:
    assert parse_pxe(text) == found


@pytest.mark.parametrize(
    "text", ["", ",proxy", "eth1,", "eth1,Proxy", "eth*", "a/b", "anamethatislongerthan15", "a b", "a\nb", 'a"b', "a#b"]
)
def test_what_is_no_interface_is_refused(text: str) -> None:
    with pytest.raises(MalformedSettingError, match="--pxe is malformed"):
        parse_pxe(text)


@pytest.mark.parametrize("evil", ["a\nport=53", "a #b", 'a"b', "", "a\\b", "a,b", "a;b", "a\x00b"])
def test_what_a_dhcp_servers_file_cannot_hold_is_refused(evil: str) -> None:
    for name in ("interface", "tftp_root", "lease_file", "origin"):
        with pytest.raises(MalformedSettingError):
            replace(FULL, **{name: evil})  # type: ignore[arg-type]
    if evil:
        with pytest.raises(MalformedSettingError):
            replace(FULL, files=BootFiles(bios=evil))


@pytest.mark.parametrize(
    "text", ["", "10.0.0.100", "10.0.0.200,10.0.0.100", "10.0.1.1,10.0.1.9", "10.0.0.100,x", "10.0.0.1,10.0.0.9,1h,2"]
)
def test_a_range_outside_the_network_or_no_range_is_refused(text: str) -> None:
    with pytest.raises(MalformedSettingError, match="--dhcp-range is malformed"):
        parse_dhcp_range(text, NETWORK)


def test_keas_classes_send_ipxe_to_the_script_and_nobody_twice() -> None:
    classes = json.loads(kea_config(FULL))["Dhcp4"]["client-classes"]
    found = {each["name"]: each["boot-file-name"] for each in classes}
    assert found == {
        "swarmboot-ipxe": "http://10.0.0.1/boot.ipxe",
        "swarmboot-bios": "undionly.kpxe",
        "swarmboot-efi64": "snponly.efi",
        "swarmboot-arm64": "snponly-arm64.efi",
        "swarmboot-pi": "bootcode.bin",
        "swarmboot-http-efi64": "http://10.0.0.1/boot/snponly.efi",
        "swarmboot-http-arm64": "http://10.0.0.1/boot/snponly-arm64.efi",
    }


def test_iscs_part_has_a_branch_a_file_and_none_for_what_is_not_there() -> None:
    assert isc_config(FULL).count("filename") == 7
    assert isc_config(replace(FULL, files=BootFiles(bios="undionly.kpxe"))).count("filename") == 3


def test_options_are_dnsmasqs_and_come_last_with_the_operators_file() -> None:
    options = tuple(
        map(parse_dhcp_option, ("router,10.0.0.254", "6,1.1.1.1,9.9.9.9", "domain-name,lab.example", "router"))
    )
    lines = dnsmasq_config(replace(FULL, options=options, more_file="/etc/more.conf")).splitlines()
    assert lines[-5:] == [
        "dhcp-option=option:router,10.0.0.254",
        "dhcp-option=6,1.1.1.1,9.9.9.9",
        "dhcp-option=option:domain-name,lab.example",
        "dhcp-option=option:router",
        "conf-file=/etc/more.conf",
    ]
    with pytest.raises(MalformedSettingError):
        replace(FULL, more_file="/etc/a\nport=53")


@pytest.mark.parametrize(
    "text",
    ["", ",", "router,10.0.0", "6,dns.example", "0,x", "255,x", "Router,10.0.0.1", "domain-name,a\nport=53", "x,a#b"],
)
def test_an_option_that_cannot_be_said_is_refused(text: str) -> None:
    with pytest.raises(MalformedSettingError, match="--dhcp-option is malformed"):
        parse_dhcp_option(text)


@pytest.mark.parametrize("text", ["67,x", "bootfile-name,x", "tftp-server,x", "60,PXEClient", "lease-time,5"])
def test_what_is_booted_is_not_the_operators_to_say(text: str) -> None:
    with pytest.raises(MalformedSettingError, match="is not yours to say"):
        parse_dhcp_option(text)
