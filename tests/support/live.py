"""A live image as live-build leaves it, made of a small root that nothing boots: its folder, netboot.tar and ISO.

Sources: live-build's scripts binary_rootfs, binary_linux-image, binary_syslinux, binary_netboot and binary_iso, and
what `lb build` of 1:20230502 made.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from tests.support.coinboot import VERSION

ARGUMENTS = "boot=live components quiet splash"
_MENU = """label live-amd64
\tmenu label ^Live system (amd64)
\tmenu default
\tlinux /live/vmlinuz
\tinitrd /live/initrd.img
\tappend {arguments}

label live-amd64-failsafe
\tmenu label Live system (amd64 fail-safe mode)
\tlinux /live/vmlinuz
\tinitrd /live/initrd.img
\tappend boot=live components memtest noapic nosplash vga=788
"""


def kernel_bytes(version: str = VERSION) -> bytes:
    """Return the head of an x86-64 kernel that says its version (Documentation/arch/x86/boot.rst)."""
    head = bytearray(0x1000)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x800 - 0x200)
    struct.pack_into("<H", head, 0x236, 1)
    head[0x800 : 0x800 + len(version) + 1] = version.encode() + b"\0"
    return bytes(head)


def pack_root(tree: Path, image: Path) -> Path:
    """Pack a tree into a squashfs."""
    image.parent.mkdir(parents=True, exist_ok=True)
    command = ("mksquashfs", str(tree), str(image), "-all-root", "-noappend", "-quiet", "-no-progress", "-comp", "gzip")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return image


def write_built(folder: Path, root: Path, *, version: str = VERSION, arguments: str = ARGUMENTS) -> Path:
    """Make the folder that `lb build` of a netboot image leaves, of a root's tree: `debian-live/` and `tftpboot/`."""
    pack_root(root, folder / "debian-live/live/filesystem.squashfs")
    (folder / "debian-live/live/filesystem.packages").write_text("base-files\n")
    boot = folder / "tftpboot"
    (boot / "live").mkdir(parents=True)
    (boot / "pxelinux.cfg").mkdir()
    (boot / "pxelinux.cfg/default").write_text("include menu.cfg\ndefault vesamenu.c32\n")
    (boot / "live.cfg").write_text(_MENU.format(arguments=arguments))
    (boot / "pxelinux.0").write_bytes(b"a loader")
    (boot / "live/vmlinuz").write_bytes(kernel_bytes(version))
    (boot / "live/initrd.img").write_bytes(b"live-boot's initramfs")
    for name in ("vmlinuz", "initrd.img"):
        (boot / f"live/{name}-{version}").hardlink_to(boot / f"live/{name}")
    return folder


def write_netboot_tar(tar: Path, built: Path) -> Path:
    """Pack what was built as binary_netboot does; compressed as the name says."""
    subprocess.run(("tar", "-C", str(built), "-caf", str(tar), "debian-live", "tftpboot"), check=True)
    return tar


def write_iso(iso: Path, built: Path) -> Path:
    """Make an ISO of what was built, with Rock Ridge and Joliet names as live-build has them."""
    grafts = (f"/={built / 'debian-live'}", f"/live={built / 'tftpboot/live'}", f"/isolinux={built / 'tftpboot'}")
    command = ("xorriso", "-as", "mkisofs", "-quiet", "-r", "-J", "-o", str(iso), "-graft-points", *grafts)
    subprocess.run(command, check=True, capture_output=True)
    return iso
