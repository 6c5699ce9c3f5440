"""A board with U-Boot goes from power-on to a Debian 13's login: kernel, initramfs and device tree of the release."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from tests.system.bare.rack import PXE, U_BOOT, bare_rack
from tests.system.stage0.test_u_boot import BOARD, FREE, at_prompt
from tests.system.stage0.test_u_boot import TREE as DEVICE_TREE
from tests.system.vm import arm64, images
from tests.system.vm.machine import ARM64, EMULATED, OWN_CLOCK
from tests.system.vm.programs import PROMPT_S, run

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(7200),
    pytest.mark.needs(
        "qemu-system-aarch64", "qemu-aarch64-static", "update-binfmts", "dnsmasq", "mksquashfs",
        str(U_BOOT),
    ),
]  # fmt: skip

BOOT_S = 2400.0
MEMORY_MB = "1024"
_MODEL = b"linux,dummy-virt"
_OURS = b"swarmboot's-virt"
"""As long, so that the device tree stays one: by this the booted system says whose it was."""


def release_for_boards(work: Path, debian: arm64.Arm64) -> Path:
    """Make a release with all that a board loads: the kernel, an initramfs that was built in that Debian, a tree."""
    release = arm64.write_release(work / "release", debian)
    shutil.copyfile(debian.kernel, release / "vmlinuz")
    arm64.forget_runtime(debian)
    print("\n" + "\n".join(arm64.initramfs(debian, release / "initramfs.img")))
    (release / "release.toml").write_text(f'name = "boards"\ncmdline = "console={ARM64.console} {EMULATED}"\n')
    tree = release / "dtb" / DEVICE_TREE
    tree.parent.mkdir(parents=True)
    dump = f"virt,dumpdtb={tree}"
    run("qemu-system-aarch64", "-machine", dump, "-cpu", "cortex-a57", "-m", MEMORY_MB, "-bios", str(U_BOOT))
    assert _MODEL in tree.read_bytes()
    tree.write_bytes(tree.read_bytes().replace(_MODEL, _OURS))
    return release


def test_a_board_with_u_boot_boots_debian_13_to_a_login(tmp_path: Path) -> None:
    debian, fleet = arm64.debian(), images.fleet()
    images.publish(release_for_boards(tmp_path, debian), site=tmp_path / "site", keys=fleet.keys)
    with bare_rack(tmp_path / "rack") as rack:
        fleet.state(rack.work / "state")
        (rack.work / "boards").write_text(f"{BOARD} {DEVICE_TREE}\n")
        rack.serve(tmp_path / "site", *PXE, "--u-boot", "--boards", str(rack.work / "boards"))
        with rack.power_on("board", firmware="u-boot", memory=MEMORY_MB, address=BOARD, more=OWN_CLOCK) as machine:
            at_prompt(machine, f"setenv fdt_addr_r {FREE}; setenv autoload no; dhcp; pxe get && pxe boot")
            started_s = machine.wait_for(r"Booting Linux on physical CPU|Linux version", within_s=BOOT_S)
            machine.wait_for("marker: end of it", within_s=BOOT_S)
            at_s = machine.wait_for("login:", within_s=PROMPT_S)
            marks, console = machine.marks(), machine.console
    print(f"\nkernel after {started_s:.0f} s, login after {at_s:.0f} s: {marks['memory']}; {marks['report']}")
    assert marks["model"] == _OURS.decode()
    assert (marks["machine"], marks["root"], marks["seed"]) == ("aarch64", "overlay", "active")
    assert marks["image"] == hashlib.sha256(debian.root.read_bytes()).hexdigest()
    assert f"BOOTIF=01-{BOARD.replace(':', '-')}" in console
    assert "no card has BOOTIF" not in console
