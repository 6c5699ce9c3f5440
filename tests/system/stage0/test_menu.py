"""A boot menu on real machines' consoles: real iPXE and real GRUB, keys typed on the serial line, and nobody there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.bare.rack import BOOT_S, MARKER, PXE, BareRack, marks, needs_ovmf, publish, tiny_initramfs
from tests.system.stage0.test_disk import chainload, grub_disk
from tests.system.vm import images
from tests.system.vm.programs import SWARMBOOT, run

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.timeout(300),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "busybox", "curl", "/usr/lib/ipxe/undionly.kpxe"),
]
needs_grub = pytest.mark.needs(
    "grub-mkrescue", "xorriso", "mformat", "/usr/lib/grub/i386-pc/boot.img", "/usr/lib/grub/x86_64-efi/kernel.img"
)


@pytest.fixture(scope="module")
def two_channels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose channel edge points to another release than stable."""
    work = tmp_path_factory.mktemp("menu")
    site = publish(work, kernel=images.debian_kernel().image, initramfs=tiny_initramfs())
    (work / "release/release.toml").write_text("name = 'newer'\ncmdline = 'console=ttyS0 of=edge'\n")
    key = str(work / "keys/swarmboot.key")
    run(*SWARMBOOT, "publish", "--force", str(work / "release"), "--site", str(site), "--key", key, "--channel", "edge")
    return site


def serve(rack: BareRack, site: Path, *, menu: str) -> None:
    """Serve a site with a boot menu for every machine."""
    (rack.work / "menus").write_text(menu)
    rack.serve(site, *PXE, "--boot-menu", str(rack.work / "menus"))


def local_disk(rack: BareRack) -> Path:
    """Return a disk that starts from SeaBIOS and OVMF and says so."""
    said = f"serial\nterminal_output serial\necho '{MARKER} from its disk'\necho '{MARKER} end'\nsleep 60\n"
    tree, disk = rack.work / "tree", rack.work / "disk.img"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text(said)
    run("grub-mkrescue", "-o", str(disk), str(tree))
    return disk


def test_a_machine_where_nobody_is_boots_the_first_item(two_channels: Path, rack: BareRack) -> None:
    serve(rack, two_channels, menu="* 3 channel:edge release\n")
    with rack.power_on("alone") as machine:
        found = marks(machine)
        assert "1. newer, manifest 2 (channel edge)" in machine.console
        assert "swarmboot: newer, manifest 2, from the server" in machine.console
    assert "of=edge" in found["cmdline"]
    assert "swarmboot.channel=edge" in found["cmdline"]


@pytest.mark.vm_all
def test_whoever_is_there_chooses_with_a_key(two_channels: Path, rack: BareRack) -> None:
    serve(rack, two_channels, menu="* 60 release channel:edge local\n")
    with rack.power_on("somebody") as machine:
        machine.wait_for("3. the disk of this machine", within_s=BOOT_S)
        machine.press("2")
        machine.press("\r")
        assert "of=edge" in marks(machine)["cmdline"]


@pytest.mark.vm_all
@needs_grub
@needs_ovmf
def test_whoever_is_there_chooses_in_grubs_menu_too(two_channels: Path, rack: BareRack) -> None:
    serve(rack, two_channels, menu="* 60 release channel:edge local\n")
    disk = grub_disk(rack, chainload("grub"))
    with rack.power_on("grub", firmware="uefi", memory="1024", disk=disk) as machine:
        machine.wait_for("3. the disk of this machine", within_s=BOOT_S)
        machine.press("2")
        assert "of=edge" in marks(machine)["cmdline"]


@pytest.mark.vm_all
@needs_grub
def test_a_bios_machine_starts_from_its_own_disk_when_that_is_the_item(two_channels: Path, rack: BareRack) -> None:
    serve(rack, two_channels, menu="* 3 local release\n")
    with rack.power_on("own-disk", disk=local_disk(rack), is_disk_first=False) as machine:
        assert marks(machine)["from"] == "its disk"
        assert "Booting from SAN device 0x80" in machine.console


@pytest.mark.vm_all
@needs_ovmf
def test_uefi_firmware_goes_on_with_its_boot_order_when_that_is_the_item(two_channels: Path, rack: BareRack) -> None:
    serve(rack, two_channels, menu="* 3 local release\n")
    with rack.power_on("own-disk", firmware="uefi", memory="1024") as machine:
        machine.wait_for('BdsDxe: failed to start Boot.* "UEFI PXEv4', within_s=BOOT_S)
        machine.wait_for("Start PXE over IPv6", within_s=BOOT_S)


@pytest.mark.vm_all
@pytest.mark.needs("/boot/memtest86+x64.bin")
def test_a_memory_test_starts(two_channels: Path, rack: BareRack) -> None:
    serve(rack, two_channels, menu="* 3 memtest release\n")
    with rack.power_on("memtest") as machine:
        machine.wait_for("Memtest86", within_s=BOOT_S)
