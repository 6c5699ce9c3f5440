"""What `swarmboot pxe config --for isc` and `--for kea` print, in those servers' own hands: accepted, and obeyed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.system.bare.dhcp import FILES, HTTP_CLASS, OWN, PI, PI_GUID, PXE_CLASS, U_BOOT_CLASS, Ask, ask
from tests.system.bare.rack import ADDRESS, RANGE, BareRack, bare_rack, other_network
from tests.system.vm.programs import SWARMBOOT, run

pytestmark = pytest.mark.root

FIRST, LAST = RANGE.split(",")


def start_isc(rack: BareRack, printed: str) -> None:
    config, leases = rack.work / "dhcpd.conf", rack.work / "dhcpd.leases"
    config.write_text(f"subnet 10.98.0.0 netmask 255.255.255.0 {{ range {FIRST} {LAST}; }}\n{printed}")
    leases.touch()
    run(*rack.inside, "dhcpd", "-t", "-cf", str(config))
    rack.start(("dhcpd", "-f", "-4", "-cf", str(config), "-lf", str(leases), "--no-pid", "rack"), "dhcpd")


def start_kea(rack: BareRack, printed: str) -> None:
    config = rack.work / "kea.json"
    ours = json.loads(printed)["Dhcp4"]
    network = {"id": 1, "subnet": "10.98.0.0/24", "pools": [{"pool": f"{FIRST} - {LAST}"}]}
    around = {"interfaces-config": {"interfaces": ["rack"]}, "lease-database": {"type": "memfile", "persist": False}}
    config.write_text(json.dumps({"Dhcp4": {**around, **ours, "subnet4": [network]}}))
    run(*rack.inside, "kea-dhcp4", "-t", str(config))
    files = (f"KEA_PIDFILE_DIR={rack.work}", f"KEA_LOCKFILE_DIR={rack.work}")
    rack.start(("env", *files, "kea-dhcp4", "-c", str(config)), "kea")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("isc", start_isc), marks=pytest.mark.needs("dhcpd"), id="isc"),
        pytest.param(("kea", start_kea), marks=pytest.mark.needs("kea-dhcp4"), id="kea"),
    ],
)
def offered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Return what asks a server that was told what swarmboot prints for it."""
    name, start = request.param
    work = tmp_path_factory.mktemp(name)
    for file in FILES:
        (work / file).write_bytes(b"iPXE")
    with ExitStack() as stack:
        rack = stack.enter_context(bare_rack(work / "rack"))
        inside = stack.enter_context(other_network(rack))
        command = (*SWARMBOOT, "pxe", "config", "--pxe", "rack,proxy", "--for", name, "--ipxe", str(work), "--u-boot")
        start(rack, run(*rack.inside, *command))

        def found(
            mac: str = OWN, *, arch: int | None, vendor: str = PXE_CLASS, ipxe: bool = False, guid: str = ""
        ) -> dict[str, str]:
            for _ in range(4):
                if (offer := ask(inside, mac, arch=arch, vendor=vendor, ipxe=ipxe, guid=guid)) is not None:
                    return offer
            raise AssertionError("nobody answers")

        yield found


@pytest.mark.parametrize(
    ("arch", "file"),
    [(0, FILES[0]), (7, FILES[1]), (9, FILES[1]), (11, FILES[2])],
    ids=["bios", "efi", "efi9", "arm64"],
)
def test_firmware_is_offered_its_ipxe_and_where_it_is(offered: Ask, arch: int, file: str) -> None:
    offer = offered(arch=arch)
    assert (offer["server"], offer["file"]) == (ADDRESS, file)


@pytest.mark.parametrize(("arch", "file"), [(16, FILES[1]), (19, FILES[2])], ids=["x64", "arm64"])
def test_http_boot_is_offered_a_url_and_told_that_it_is_meant(offered: Ask, arch: int, file: str) -> None:
    offer = offered(arch=arch, vendor=HTTP_CLASS)
    assert (offer["file"], offer["vendor"]) == (f"http://{ADDRESS}/boot/{file}", "HTTPClient")


@pytest.mark.parametrize("arch", [0, 7, 11])
def test_ipxe_is_offered_the_script(offered: Ask, arch: int) -> None:
    assert offered(arch=arch, ipxe=True)["file"] == f"http://{ADDRESS}/boot.ipxe"


def test_a_raspberry_pi_finds_the_words_that_its_rom_looks_for(offered: Ask) -> None:
    offer = offered(PI, arch=0)
    assert "Raspberry Pi Boot" in offer["menu"]
    assert offer["file"] == "bootcode.bin"


def test_an_operating_system_is_offered_nothing_to_boot(offered: Ask) -> None:
    assert offered(arch=None, vendor="")["file"] == ""


def test_u_boot_is_offered_the_file_that_serve_lays_out(offered: Ask) -> None:
    offer = offered(arch=22, vendor=U_BOOT_CLASS)
    assert (offer["server"], offer["file"]) == (ADDRESS, "u-boot.cfg")


def test_a_raspberry_pi_is_known_by_its_guid(offered: Ask) -> None:
    assert offered(arch=0, guid=PI_GUID)["file"] == "bootcode.bin"
