"""What a real dnsmasq, run by `swarmboot serve --pxe`, answers each kind of firmware; and whom it does not answer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarmboot.errors import ResourceError
from tests.support.waiting import wait_for_line, wait_until
from tests.system.bare.dhcp import FILES, HTTP_CLASS, OWN, PI, PI_GUID, PXE_CLASS, U_BOOT_CLASS, Offer, ask
from tests.system.bare.rack import ADDRESS, PXE, BareRack, bare_rack, other_network, tiny_release_site
from tests.system.vm.programs import STAY_ROOT, SWARMBOOT, run, running

Served = tuple[subprocess.Popen[bytes], int]

pytestmark = [pytest.mark.root, pytest.mark.needs("dnsmasq", "ip", "curl")]


@dataclass(frozen=True, slots=True)
class Wire:
    """A host on the machines' network and one on another network of the same server."""

    rack: BareRack
    inside: tuple[str, ...]
    outside: tuple[str, ...]

    def ask(
        self, mac: str = OWN, *, arch: int | None, vendor: str = PXE_CLASS, ipxe: bool = False, guid: str = ""
    ) -> Offer:
        """Return what firmware of this kind is offered on the machines' network."""
        return ask(self.inside, mac, arch=arch, vendor=vendor, ipxe=ipxe, guid=guid)


def lay_out(stack: ExitStack, work: Path, *pxe: str) -> Wire:
    rack = stack.enter_context(bare_rack(work / "rack"))
    (work / "ipxe").mkdir()
    for name in FILES:
        (work / "ipxe" / name).write_bytes(name.encode() * 1000)
    inside = stack.enter_context(other_network(rack))
    rack.ip("link add hall type bridge forward_delay 0")
    rack.ip("address add 10.97.0.1/24 dev hall")
    rack.ip("link set hall up")
    outside = stack.enter_context(other_network(rack, bridge="hall", address="10.97.0.9"))
    rack.serve(tiny_release_site(work), *pxe, "--ipxe", str(work / "ipxe"))
    return Wire(rack, inside, outside)


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with ExitStack() as stack:
        yield lay_out(stack, tmp_path_factory.mktemp("dhcp"), *PXE, "--u-boot")


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with ExitStack() as stack:
        yield lay_out(stack, tmp_path_factory.mktemp("proxy"), "--pxe", "rack,proxy")


@pytest.mark.parametrize(
    ("arch", "file"),
    [(0, FILES[0]), (7, FILES[1]), (9, FILES[1]), (11, FILES[2])],
    ids=["bios", "efi", "efi9", "arm64"],
)
def test_firmware_is_offered_an_address_and_its_ipxe(wire: Wire, arch: int, file: str) -> None:
    offer = wire.ask(arch=arch)
    assert offer is not None
    assert offer["address"].startswith("10.98.0.1")
    assert (offer["server"], offer["file"]) == (ADDRESS, file)


@pytest.mark.parametrize(("arch", "file"), [(16, FILES[1]), (19, FILES[2])], ids=["x64", "arm64"])
def test_http_boot_is_offered_a_url_and_told_that_it_is_meant(wire: Wire, arch: int, file: str) -> None:
    offer = wire.ask(arch=arch, vendor=HTTP_CLASS)
    assert offer is not None
    assert offer["file"] == f"http://{ADDRESS}/boot/{file}"
    assert offer["vendor"] == "HTTPClient"


@pytest.mark.parametrize("arch", [0, 7, 11])
def test_ipxe_is_offered_the_script_whatever_loaded_it(wire: Wire, arch: int) -> None:
    offer = wire.ask(arch=arch, ipxe=True)
    assert offer is not None
    assert offer["file"] == f"http://{ADDRESS}/boot.ipxe"


@pytest.mark.parametrize(("mac", "guid"), [(PI, ""), (OWN, PI_GUID)], ids=["by its MAC address", "by its GUID"])
def test_a_raspberry_pi_finds_the_words_that_its_rom_looks_for(wire: Wire, mac: str, guid: str) -> None:
    offer = wire.ask(mac, arch=0, guid=guid)
    assert offer is not None
    assert "Raspberry Pi Boot" in offer["menu"]
    assert (offer["server"], offer["file"]) == (ADDRESS, "bootcode.bin")


@pytest.mark.parametrize("arch", [21, 22], ids=["arm", "arm64"])
def test_u_boot_is_offered_a_file_beside_which_it_looks_for_its_configuration(wire: Wire, arch: int) -> None:
    offer = wire.ask(arch=arch, vendor=U_BOOT_CLASS)
    assert offer is not None
    assert (offer["server"], offer["file"]) == (ADDRESS, "u-boot.cfg")
    text = run(*wire.inside, "curl", "-s", "--max-time", "10", f"tftp://{ADDRESS}/pxelinux.cfg/default-arm")
    (kernel,) = [line.split()[1] for line in text.splitlines() if line.startswith("linux ")]
    for url in (f"tftp://{ADDRESS}/{kernel}", f"http://{ADDRESS}/{kernel}"):
        assert run(*wire.inside, "curl", "-s", "--max-time", "10", url) == "no kernel"
    for path in ("pxelinux.cfg/..%2f..%2fdhcp.leases", "u-boot/..", "pxelinux.cfg/.hidden"):
        url = f"http://{ADDRESS}/{path}"
        assert run(*wire.inside, "curl", "-s", "--path-as-is", "--max-time", "10", url) in (
            "no such file\n",
            "Not Found",
        )


def test_an_operating_system_is_offered_an_address_and_nothing_to_boot(wire: Wire) -> None:
    offer = wire.ask(arch=None, vendor="")
    assert offer is not None
    assert offer["address"].startswith("10.98.0.1")
    assert offer["file"] == ""


@pytest.mark.parametrize("name", FILES)
def test_what_firmware_was_offered_it_can_load(wire: Wire, name: str) -> None:
    for url in (f"tftp://{ADDRESS}/{name}", *([f"http://{ADDRESS}/boot/{name}"] if name.endswith(".efi") else [])):
        found = run(*wire.inside, "curl", "-s", "--max-time", "10", url)
        assert found == name * 1000


def test_nobody_is_answered_on_an_interface_that_was_not_named(wire: Wire, proxied: Wire) -> None:
    for each in (wire, proxied):
        assert ask(each.outside, OWN, arch=0, vendor=PXE_CLASS) is None
        for url in (f"tftp://10.97.0.1/{FILES[0]}", "http://10.97.0.1/boot.ipxe"):
            said = run(*each.outside, "sh", "-c", f"curl -s --max-time 2 {url} || echo refused")
            assert said == "refused\n"


@pytest.mark.parametrize(
    ("arch", "file"),
    [(0, FILES[0]), (7, FILES[1]), (9, FILES[1]), (11, FILES[2])],
    ids=["bios", "efi", "efi9", "arm64"],
)
def test_a_proxy_names_the_file_and_gives_no_address(proxied: Wire, arch: int, file: str) -> None:
    offer = proxied.ask(arch=arch)
    assert offer is not None
    assert offer["address"] == "0.0.0.0"
    assert offer["vendor"] == "PXEClient"
    assert offer["file"] in ("", file)  # firmware that reads the menu is told the name when it asks for it


def test_a_proxy_is_silent_to_whoever_does_not_boot_by_pxe(proxied: Wire) -> None:
    assert proxied.ask(arch=None, vendor="") is None
    assert proxied.ask(arch=16, vendor=HTTP_CLASS) is None


def advertised(where: tuple[str, ...]) -> str:
    """Return what a machine is told that asks for a router, nothing if nobody answers."""
    return run(*where, "sh", "-c", "rdisc6 -1 -r 2 -w 2000 eth0 || [ $? = 2 ]")


@pytest.mark.needs("rdisc6")
def test_who_looks_for_a_router_is_told_at_once_that_there_is_none(wire: Wire) -> None:
    told = advertised(wire.inside)
    assert re.search(r"Router lifetime +: +0 ", told), told
    assert re.search(r"Stateful address conf\. +: +No", told)
    assert "Prefix" not in told


@pytest.mark.needs("rdisc6")
def test_nobody_is_told_of_routers_by_a_proxy_by_a_router_or_on_another_interface(wire: Wire, proxied: Wire) -> None:
    assert "Router lifetime" not in advertised(proxied.inside)
    assert "Router lifetime" not in advertised(wire.outside)
    setting = "/proc/sys/net/ipv6/conf/rack/forwarding"
    run(*wire.rack.inside, "sh", "-c", f"echo 1 >{setting}")
    assert "Router lifetime" not in advertised(wire.inside)
    run(*wire.rack.inside, "sh", "-c", f"echo 0 >{setting}")
    assert "Router lifetime" in advertised(wire.inside)


@pytest.mark.needs("rdisc6")
def test_where_there_is_a_router_it_alone_answers(tmp_path: Path) -> None:
    with ExitStack() as stack:
        rack = stack.enter_context(bare_rack(tmp_path / "rack"))
        router, machine = (stack.enter_context(other_network(rack, address=f"10.98.0.{n}")) for n in (8, 9))
        run(*router, "ip", "address", "add", "fd98::8/64", "dev", "eth0", "nodad")
        command = (
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--bind-interfaces",
            "--interface=eth0", "--enable-ra", "--dhcp-range=::,constructor:eth0,ra-only", "--pid-file=",
            "--log-facility=-", *STAY_ROOT,
        )  # fmt: skip
        stack.enter_context(running(*router, *command, log=tmp_path / "router.log"))
        wait_for_line(tmp_path / "router.log", "router advertisement on")
        rack.serve(tiny_release_site(tmp_path), *PXE)
        run(*rack.inside, "sh", "-c", "until ip -6 route show default | grep -q .; do sleep 0.2; done")
        told = run(*machine, "rdisc6", "-m", "-r", "1", "-w", "2000", "eth0")
    assert "Prefix" in told
    assert told.count("Router lifetime") == 1


def test_machines_are_told_what_the_operator_says_in_any_network_of_the_interface(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text(f"dhcp-host={OWN},10.96.0.77\n")
    with ExitStack() as stack:
        rack = stack.enter_context(bare_rack(tmp_path / "rack"))
        (tmp_path / "ipxe").mkdir()
        (tmp_path / "ipxe" / FILES[0]).write_bytes(b"x")
        rack.ip("address add 10.96.0.1/24 dev rack")
        inside = stack.enter_context(other_network(rack))
        told = (
            "--dhcp-option",
            "router,10.96.0.254",
            "--dhcp-option",
            "6,1.1.1.1,9.9.9.9",
            "--dhcp-option",
            "42,10.96.0.3",
        )
        pxe = ("--pxe", "rack", "--dhcp-range", "10.96.0.70,10.96.0.79", "--dhcp-conf", str(tmp_path / "more.conf"))
        rack.serve(tiny_release_site(tmp_path), *pxe, *told, "--ipxe", str(tmp_path / "ipxe"))
        offer = ask(inside, OWN, arch=0, vendor=PXE_CLASS)
        assert offer is not None
        assert (offer["address"], offer["server"], offer["file"]) == ("10.96.0.77", "10.96.0.1", FILES[0])
        assert (offer["routers"], offer["name_servers"]) == ("10.96.0.254", "1.1.1.1 9.9.9.9")


def test_no_address_is_pinged_first_as_nobody_stands_in_the_range(wire: Wire) -> None:
    assert "no-ping" in configuration(wire.rack)
    assert not [line for line in wire.rack.log if "without a lease" in line]


def test_who_stands_in_the_range_without_a_lease_is_named_and_addresses_are_pinged(
    rack: BareRack, tmp_path: Path
) -> None:
    (tmp_path / "ipxe").mkdir()
    (tmp_path / "ipxe" / FILES[0]).write_bytes(b"iPXE")
    one = ("--pxe", "rack", "--dhcp-range", "10.98.0.150,10.98.0.151")
    with other_network(rack, address="10.98.0.150") as inside:
        rack.serve(tiny_release_site(tmp_path), *one, "--ipxe", str(tmp_path / "ipxe"))
        assert "no-ping" not in configuration(rack)
        wait_for_line(rack.work / "seeder.log", "somebody has 10.98.0.150 without a lease of this server")
        offer = ask(inside, OWN, arch=0, vendor=PXE_CLASS)
    assert offer is not None
    assert offer["address"] == "10.98.0.151"


def configuration(rack: BareRack) -> list[str]:
    return (rack.work / "state" / "pxe" / "dnsmasq.conf").read_text().splitlines()


@pytest.fixture
def served(rack: BareRack, tmp_path: Path) -> Served:
    (tmp_path / "ipxe").mkdir()
    (tmp_path / "ipxe" / FILES[0]).write_bytes(b"iPXE")
    seeder = rack.serve(tiny_release_site(tmp_path), *PXE, "--ipxe", str(tmp_path / "ipxe"))

    def child() -> int | None:
        children = " ".join(path.read_text() for path in Path(f"/proc/{seeder.pid}/task").glob("*/children")).split()
        return next((int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text() == "dnsmasq\n"), None)

    return seeder, wait_until("a dnsmasq of the seeder's", child, process=seeder)


def test_serve_ends_in_one_clear_line_if_its_dnsmasq_does(rack: BareRack, served: Served) -> None:
    seeder, dnsmasq = served
    os.kill(dnsmasq, signal.SIGKILL)
    assert seeder.wait(30) == ResourceError.exit_status
    assert rack.log[-1].startswith("swarmboot: dnsmasq has ended on rack")


def test_machines_that_find_no_address_left_are_named_with_what_to_do(rack: BareRack, tmp_path: Path) -> None:
    leases = rack.work / "state" / "pxe" / "dhcp.leases"
    leases.parent.mkdir(parents=True)
    leases.write_text(f"{int(time.time()) + 3600} 52:54:00:00:98:01 10.98.0.100 * *\n")
    (tmp_path / "ipxe").mkdir()
    (tmp_path / "ipxe" / FILES[0]).write_bytes(b"iPXE")
    one = ("--pxe", "rack", "--dhcp-range", "10.98.0.100,10.98.0.100")
    rack.serve(tiny_release_site(tmp_path), *one, "--ipxe", str(tmp_path / "ipxe"))
    with other_network(rack) as inside:
        assert ask(inside, OWN, arch=0, vendor=PXE_CLASS) is None
    said = [
        line for line in rack.log if line.startswith(f"no address is left in --dhcp-range for {OWN}: give a larger")
    ]
    assert len(said) == 1, rack.log
    state = ("--state", str(rack.work / "state"))
    shown = " ".join(run(*rack.inside, *SWARMBOOT, "status", *state).split())
    assert f"! DHCP has no address left for 1 machine ({OWN}): give a larger --dhcp-range" in shown
    figures = run(*rack.inside, "curl", "--silent", "--insecure", f"https://{ADDRESS}:8470/metrics")
    assert "\nswarmboot_stage0_machines_without_address 1.0\n" in figures
    assert float(figures.partition("\nswarmboot_stage0_turned_away_total ")[2].split()[0]) >= 1


def test_dnsmasq_ends_with_a_seeder_that_is_killed(served: Served) -> None:
    seeder, dnsmasq = served
    seeder.kill()
    wait_until("an end of dnsmasq", lambda: not Path(f"/proc/{dnsmasq}").exists(), within_s=10)
