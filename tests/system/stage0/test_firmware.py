"""Bare machines go from power-on to a kernel: real firmware, real dnsmasq, stock iPXE, a tiny release.

A machine has a network card and nothing else. What is loaded says on the console what started it.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from swarmboot.errors import PortInUseError
from tests.system.bare.rack import (
    ADDRESS,
    BOOT_S,
    MARKER,
    ODD_WORDS,
    PXE,
    QUOTED_WORD,
    RANGE,
    BareRack,
    bad_neighbour,
    good_neighbour,
    mac,
    marks,
    needs_ovmf,
    ordinary_dhcp,
    publish,
    tiny_initramfs,
)
from tests.system.vm import images
from tests.system.vm.programs import PROMPT_S, SWARMBOOT

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.timeout(600),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "busybox", "curl", "/usr/lib/ipxe/undionly.kpxe"),
]


def test_a_bios_machine_boots_with_its_own_files_and_arguments(tiny_site: Path, rack: BareRack, tmp_path: Path) -> None:
    (tmp_path / "files/default/etc").mkdir(parents=True)
    (tmp_path / "files/default/etc/rack").write_text("r12 as a file\n")
    (tmp_path / "racks").write_text("52:54:00:* r12\n")
    rack.serve(tiny_site, *PXE, "--racks", str(tmp_path / "racks"), "--node-files", str(tmp_path / "files"))
    with rack.power_on("bios") as machine:
        found = marks(machine)
    assert f"BOOTIF=01-{mac(1).replace(':', '-')}" in found["cmdline"]
    assert f"swarmboot.server=https://{ADDRESS}:8470" in found["cmdline"]
    assert "swarmboot.rack=r12" in found["cmdline"]
    assert f"console=ttyS0 {ODD_WORDS} {QUOTED_WORD} " in found["cmdline"]
    assert found["rack"] == "r12 as a file"


@needs_ovmf
def test_uefi_firmware_boots_over_pxe_with_debians_ipxe(tiny_site: Path, rack: BareRack, tmp_path: Path) -> None:
    (tmp_path / "files/default/etc").mkdir(parents=True)
    (tmp_path / "files/default/etc/rack").write_text("uefi\n")
    rack.serve(tiny_site, *PXE, "--node-files", str(tmp_path / "files"))
    with rack.power_on("uefi", firmware="uefi", memory="1024") as machine:
        machine.wait_for("NBP filename is snponly.efi", within_s=BOOT_S)
        assert marks(machine)["rack"] == "uefi"


@needs_ovmf
def test_uefi_firmware_boots_over_http(tiny_site: Path, rack: BareRack) -> None:
    rack.serve(tiny_site, *PXE)
    with rack.power_on("uefi-http", firmware="uefi-http", memory="1024") as machine:
        machine.wait_for(f"URI: http://{ADDRESS}/boot/snponly.efi", within_s=BOOT_S)
        assert "swarmboot.stage0=" in marks(machine)["cmdline"]


@pytest.mark.parametrize(
    ("firmware", "memory"), [("bios", "512"), pytest.param("uefi", "1024", marks=needs_ovmf)], ids=["bios", "uefi"]
)
def test_beside_another_dhcp_server_a_machine_boots_by_proxy(
    tiny_site: Path, rack: BareRack, firmware: str, memory: str
) -> None:
    rack.serve(tiny_site, "--pxe", "rack,proxy")
    with ordinary_dhcp(rack), rack.power_on("proxied", firmware=firmware, memory=memory) as machine:
        marks(machine)
    assert mac(1) in (rack.work / "other-leases").read_text()


def test_with_one_slot_machines_that_start_together_are_served_in_turn(rack: BareRack, tmp_path: Path) -> None:
    large = publish(
        tmp_path / "large", kernel=images.debian_kernel().image, initramfs=tiny_initramfs(padding_bytes=40_000_000)
    )
    rack.serve(large, *PXE, "--stage0-slots", "1")
    with ExitStack() as stack:
        machines = [stack.enter_context(rack.power_on(f"turn{number}")) for number in (1, 2, 3)]
        for machine in machines:
            marks(machine)
    said = [line.split() for line in rack.log if line.startswith("machine ")]
    told = [(words[1], words[2]) for words in said]
    assert sorted(mac for mac, word in told if word == "has") == [mac(1), mac(2), mac(3)]
    assert [word for _, word in told] == ["loads", "has"] * 3
    assert [first for first, _ in told[::2]] == [second for second, _ in told[1::2]]


def test_a_neighbour_that_dies_in_mid_transfer_is_skipped(tiny_site: Path, rack: BareRack) -> None:
    rack.serve(tiny_site, *PXE, "--stage0-trust", "lan")
    bad_neighbour(rack, tiny_site, fault="dies")
    with rack.power_on("skips") as machine:
        marks(machine)
        assert "from neighbour 10.98.0.2, the server" in machine.console
    asked = (rack.work / "bad-10.98.0.2.log").read_text()
    assert "asked for /k/" in asked


def test_an_ipxe_that_cannot_check_starts_nothing_where_it_must(tiny_site: Path, rack: BareRack) -> None:
    rack.serve(tiny_site, *PXE, "--stage0-trust", "ipxe-verify")
    with rack.power_on("refuses") as machine:
        machine.wait_for("vmlinuz is not the one that was signed, or this iPXE cannot check it", within_s=BOOT_S)
        machine.wait_for("no source has served this machine", within_s=PROMPT_S)
        assert MARKER not in machine.console


def test_a_booted_node_serves_the_next_machine_and_the_server_sends_it_nothing(tiny_site: Path, rack: BareRack) -> None:
    rack.serve(tiny_site, *PXE, "--stage0-trust", "lan")
    good_neighbour(rack, tiny_site, host="10.98.0.2")
    before = rack.status()["stage0"]["sent_bytes"]
    with rack.power_on("next") as machine:
        marks(machine)
    assert rack.status()["stage0"]["sent_bytes"] == before


def test_dnsmasq_that_cannot_start_is_one_clear_line(tiny_site: Path, rack: BareRack) -> None:
    rack.serve(tiny_site, *PXE)
    command = (*rack.inside, *SWARMBOOT, "serve", str(tiny_site), "--listen", f"{ADDRESS}:8471", "--state",
               str(rack.work / "second"), *PXE, "--pxe-listen", f"{ADDRESS}:81")  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == PortInUseError.exit_status
    (line,) = done.stderr.splitlines()
    assert line.startswith("swarmboot: cannot answer DHCP on rack: expected nobody else on UDP ports 67 and 69")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--pxe", "nothere", "--dhcp-range", RANGE), "--pxe nothere cannot be used: No such device"),
        (("--pxe", "rack"), "--pxe needs the addresses to give out"),
        (("--pxe", "rack,proxy", "--dhcp-range", RANGE), "--dhcp-range and proxy exclude each other"),
        (("--pxe", "rack", "--dhcp-range", "10.1.0.1,10.1.0.9"), "--dhcp-range is malformed"),
        (("--dhcp-range", RANGE), "--dhcp-range needs --pxe"),
        ((*PXE, "--ipxe", "/nonexistent"), "/nonexistent holds no iPXE"),
        ((*PXE, "--racks", "/nonexistent"), "/nonexistent cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    tiny_site: Path, rack: BareRack, arguments: tuple[str, ...], line: str
) -> None:
    command = (*rack.inside, *SWARMBOOT, "serve", str(tiny_site), "--state", str(rack.work / "state"), *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"swarmboot: {line}")
    assert 40 <= done.returncode < 70
