"""Boards with U-Boot go from power-on to a kernel: a real U-Boot, which asks dnsmasq's TFTP for its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.bare.packages import kernel, unpacked
from tests.system.bare.rack import BOOT_S, PXE, U_BOOT, BareRack, marks, publish, tiny_initramfs
from tests.system.vm.machine import Machine
from tests.system.vm.programs import SWARMBOOT, run

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.timeout(600),
    pytest.mark.needs("qemu-system-aarch64", "dnsmasq", "curl", str(U_BOOT)),
]
TREE = "qemu/virt.dtb"
BOARD = "52:52:52:52:52:52"
"""What this U-Boot takes for its address, whatever card QEMU is given."""

FREE = "0x43e00000"
"""Where nothing else is loaded: between kernel_addr_r with the kernel and ramdisk_addr_r."""


@pytest.fixture(scope="module")
def arm64_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with a kernel for arm64 and the device tree of the board that QEMU is."""
    work = tmp_path_factory.mktemp("u-boot")
    busybox = unpacked("busybox-static", suite="bookworm", architecture="arm64") / "bin/busybox"
    image = kernel("cloud-arm64", suite="bookworm", architecture="arm64")
    site = publish(work, kernel=image, initramfs=tiny_initramfs(busybox=busybox), cmdline="console=ttyAMA0")
    (work / "release/dtb/qemu").mkdir(parents=True)
    dump = f"virt,dumpdtb={work / 'release/dtb' / TREE}"
    run("qemu-system-aarch64", "-machine", dump, "-cpu", "cortex-a57", "-m", "1024", "-bios", str(U_BOOT))
    key = str(work / "keys/swarmboot.key")
    run(*SWARMBOOT, "publish", "--force", str(work / "release"), "--site", str(site), "--key", key)
    return site


def at_prompt(machine: Machine, commands: str) -> None:
    """Stop U-Boot from booting by itself and type a line of commands."""
    machine.wait_for("Hit any key to stop autoboot", within_s=BOOT_S)
    machine.press(" ")
    machine.wait_for("=> $", within_s=BOOT_S)
    machine.enter(commands)


def test_a_board_boots_with_its_own_device_tree(arm64_site: Path, rack: BareRack) -> None:
    (rack.work / "boards").write_text(f"{BOARD} {TREE}\n")
    rack.serve(arm64_site, *PXE, "--u-boot", "--boards", str(rack.work / "boards"))
    with rack.power_on("board", firmware="u-boot", memory="1024") as machine:
        at_prompt(machine, f"setenv fdt_addr_r {FREE}; setenv autoload no; dhcp; pxe get && pxe boot")
        found = marks(machine)
        assert f"dtb/{TREE}'" in machine.console
    assert "swarmboot.server=https://10.98.0.1:8470" in found["cmdline"]
    assert f"BOOTIF=01-{BOARD.replace(':', '-')}" in found["cmdline"]


@pytest.mark.vm_all
def test_a_board_that_nobody_has_named_boots_with_the_device_tree_that_u_boot_chooses(
    arm64_site: Path, rack: BareRack
) -> None:
    rack.serve(arm64_site, *PXE, "--u-boot")
    with rack.power_on("board", firmware="u-boot", memory="1024") as machine:
        at_prompt(machine, f"setenv fdt_addr_r {FREE}; setenv fdtfile {TREE}; dhcp; pxe get && pxe boot")
        found = marks(machine)
        assert "Filename 'u-boot.cfg'" in machine.console
        assert f"dtb/{TREE}'" in machine.console
    assert f"BOOTIF=01-{BOARD.replace(':', '-')}" in found["cmdline"]
