"""Machines without PXE start from a disk or a stick, as `swarmboot pxe chainload` writes it, beside any DHCP server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.system.bare.packages import unpacked
from tests.system.bare.rack import (
    ADDRESS,
    BOOT_S,
    ODD_WORDS,
    QUOTED_WORD,
    BareRack,
    mac,
    marks,
    needs_ovmf,
    ordinary_dhcp,
)  # fmt: skip
from tests.system.vm.programs import run

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.timeout(300),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "busybox", "curl", "/usr/lib/ipxe/undionly.kpxe"),
]
needs_grub = pytest.mark.needs(
    "grub-mkrescue", "xorriso", "mformat", "/usr/lib/grub/i386-pc/boot.img", "/usr/lib/grub/x86_64-efi/kernel.img"
)


def chainload(kind: str) -> str:
    """Return what `swarmboot pxe chainload` prints for this network's server."""
    return run(sys.executable, "-m", "swarmboot", "pxe", "chainload", ADDRESS, f"--{kind}")


def grub_disk(rack: BareRack, entry: str) -> Path:
    """Return a disk that SeaBIOS and OVMF start GRUB from, with one menu entry."""
    tree, disk = rack.work / "tree", rack.work / "disk.img"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/ipxe.lkrn").write_bytes(Path("/boot/ipxe.lkrn").read_bytes())
    (tree / "boot/grub/grub.cfg").write_text(f"serial\nterminal_output serial\nset timeout=0\n{entry}")
    run("grub-mkrescue", "-o", str(disk), str(tree))
    return disk


@needs_grub
def test_grub_on_a_bios_machine_starts_ipxe_which_asks_for_its_script(tiny_site: Path, rack: BareRack) -> None:
    rack.serve(tiny_site, "--pxe-listen", f"{ADDRESS}:80")
    disk = grub_disk(rack, chainload("grub"))
    with ordinary_dhcp(rack), rack.power_on("grub-bios", disk=disk) as machine:
        found = marks(machine)
    assert f"BOOTIF=01-{mac(1).replace(':', '-')}" in found["cmdline"]


@needs_grub
@needs_ovmf
def test_grub_on_a_uefi_machine_asks_for_its_script_itself(tiny_site: Path, rack: BareRack, tmp_path: Path) -> None:
    (tmp_path / "files/default/etc").mkdir(parents=True)
    (tmp_path / "files/default/etc/rack").write_text("by GRUB\n")
    rack.serve(tiny_site, "--pxe-listen", f"{ADDRESS}:80", "--node-files", str(tmp_path / "files"))
    disk = grub_disk(rack, chainload("grub"))
    with ordinary_dhcp(rack), rack.power_on("grub-uefi", firmware="uefi", memory="1024", disk=disk) as machine:
        found = marks(machine)
        assert "swarmboot: tiny, manifest 1, from the server" in machine.console
    assert f"BOOTIF=01-{mac(1).replace(':', '-')}" in found["cmdline"]
    quoted = QUOTED_WORD.replace('"', "")
    assert f'console=ttyS0 {ODD_WORDS} "{quoted}" ' in found["cmdline"]  # GRUB puts its quotes around the word
    assert found["rack"] == "by GRUB"


@needs_ovmf
@pytest.mark.needs("mformat")
def test_ipxe_on_a_stick_reads_its_script(tiny_site: Path, rack: BareRack) -> None:
    ipxe = unpacked("ipxe", suite="testing") / "usr/lib/ipxe/ipxe-amd64.efi"
    rack.serve(tiny_site, "--pxe-listen", f"{ADDRESS}:80")
    disk, script = rack.work / "stick.img", rack.work / "autoexec.ipxe"
    script.write_text(chainload("ipxe"))
    run("truncate", "-s", "64M", str(disk))
    run("mformat", "-i", str(disk), "-F", "::")
    run("mmd", "-i", str(disk), "::EFI", "::EFI/BOOT")
    run("mcopy", "-i", str(disk), str(ipxe), "::EFI/BOOT/BOOTX64.EFI")
    run("mcopy", "-i", str(disk), str(script), "::EFI/BOOT/autoexec.ipxe")
    with ordinary_dhcp(rack), rack.power_on("stick", firmware="uefi", memory="1024", disk=disk) as machine:
        machine.wait_for("autoexec.ipxe", within_s=BOOT_S)
        assert f"BOOTIF=01-{mac(1).replace(':', '-')}" in marks(machine)["cmdline"]


@needs_grub
@needs_ovmf
@pytest.mark.parametrize("firmware", ["bios", pytest.param("uefi", marks=pytest.mark.vm_all)])
def test_a_stick_starts_machines_of_either_firmware_and_asks_until_it_is_answered(
    tiny_site: Path, rack: BareRack, firmware: str
) -> None:
    stick = rack.work / "stick.img"
    said = run(sys.executable, "-m", "swarmboot", "pxe", "chainload", ADDRESS, "--usb", str(stick))
    assert said == f"{stick} starts BIOS and UEFI machines\n"
    with ordinary_dhcp(rack), rack.power_on("stick", firmware=firmware, memory="1024", disk=stick) as machine:
        machine.wait_for("swarmboot: no answer, asking again in 2 s", within_s=BOOT_S)
        rack.serve(tiny_site, "--pxe-listen", f"{ADDRESS}:80")
        assert f"BOOTIF=01-{mac(1).replace(':', '-')}" in marks(machine)["cmdline"]
