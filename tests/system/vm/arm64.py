"""A Debian 13 for arm64: a tree by debootstrap, an initramfs built in it by the documented command, and a small root.

Its programs are run by QEMU's user emulation (binfmt_misc); the tree is kept, as it takes minutes to make.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.stage0_packages import mirror
from tests.system.vm import images
from tests.system.vm.cache import ROOT, cached, fingerprint
from tests.system.vm.programs import PATH, SWARMBOOT, run

SUITE = "trixie"
BUILD_S = 3000.0
DOCUMENTED = (
    "linux-image-cloud-arm64", "initramfs-tools", "busybox", "zstd", "squashfs-tools", "binutils", "iproute2",
    "python3-click", "python3-libtorrent", "python3-trio", "python3-httpx", "python3-msgpack", "python3-cryptography",
)  # fmt: skip
"""What docs/boot.md has debootstrap include; the root image needs what comes next as well."""
_ROOT_PACKAGES = ("systemd-sysv", "udev", "kmod", "procps", "dbus", "login")
_LIBRARIES = "usr/lib/aarch64-linux-gnu"
_NOT_IN_THE_ROOT = (
    "boot", "usr/lib/modules", "usr/lib/python3", "usr/lib/python3.*", "usr/bin/python3*", "usr/lib/swarmboot",
    *(f"{_LIBRARIES}/{name}*" for name in ("libtorrent", "libboost", "perl", "libbfd", "libopcodes", "libgprofng")),
    *(f"usr/share/{name}" for name in ("doc", "locale", "man", "info", "perl", "perl5", "zoneinfo", "initramfs-tools")),
    "usr/lib/udev/hwdb.d", "var/lib/apt", "var/cache", "var/lib/dpkg/info", "var/log", "usr/bin/aarch64-linux-gnu-*",
)  # fmt: skip
_NETWORK = "[Match]\nType=ether\n\n[Network]\nDHCP=yes\nKeepConfiguration=yes\n"
_SAMPLER = """#!/bin/sh
# Notes every second how little memory there was, and how much each Python has had at most.
case ${1:-} in prereqs) exit 0 ;; esac
(
    least=999999999
    while sleep 1; do
        while read -r name kib _; do
            [ "$name" != MemAvailable: ] || [ "$kib" -ge "$least" ] || least=$kib
        done </proc/meminfo
        for status in /proc/[0-9]*/status; do
            name= most=
            while read -r key value _; do
                case $key in Name:) name=$value ;; VmHWM:) most=$value ;; esac
            done <"$status"
            case $name in python*) leecher=$most ;; esac
        done 2>/dev/null
        echo "available $least leecher $leecher" >/run/memory.new && mv /run/memory.new /run/memory
    done
) >/dev/null 2>&1 &
"""
_SAYS_MEMORY = """
say memory "$(cat /run/memory)"
seed=/proc/$(systemctl show -P MainPID swarmboot-seed)
say seed_memory "$(awk '/^(VmHWM|VmRSS):/ {printf "%s%s ", $1, $2}' "$seed/status")"
say machine "$(uname -m)"
"""
_PREPARE = """
set -e
systemctl --quiet enable systemd-networkd.service 2>/dev/null
passwd --quiet --delete root
rm -f /etc/machine-id && : >/etc/machine-id
"""


@dataclass(frozen=True, slots=True)
class Arm64:
    """The tree, and what was made of it."""

    tree: Path
    version: str
    root: Path

    @property
    def kernel(self) -> Path:
        """Return the kernel."""
        return self.tree / "boot" / f"vmlinuz-{self.version}"


def debian() -> Arm64:
    """Return Debian 13 for arm64, made now if it is not there; leave the test out where its programs cannot run."""
    _run_its_programs()
    source = fingerprint([Path(__file__)], SUITE)

    def build(folder: Path) -> None:
        folder.mkdir()
        tree = folder / "tree"
        packages = ",".join((*DOCUMENTED, *_ROOT_PACKAGES))
        run(
            "env", "INITRD=No", "debootstrap", "--arch=arm64", "--variant=minbase", f"--include={packages}", SUITE,
            str(tree), mirror(), within_s=BUILD_S,
        )  # fmt: skip
        (tree / "etc/systemd/network/80-wired.network").write_text(_NETWORK)
        (tree / "etc/hostname").write_text("arm64\n")
        run("chroot", str(tree), "sh", "-c", _PREPARE)
        command = ("mksquashfs", str(tree), str(folder / "rootfs.squashfs"), "-comp", "zstd", "-b", "256K")
        run(*command, "-noappend", "-no-progress", "-quiet", "-wildcards", "-e", *_NOT_IN_THE_ROOT)
        sampler = tree / "etc/initramfs-tools/scripts/init-premount/sampler"
        sampler.write_text(_SAMPLER)
        sampler.chmod(0o755)

    folder = cached("arm64", source, build)
    (kernel,) = (folder / "tree/boot").glob("vmlinuz-*")
    return Arm64(folder / "tree", kernel.name.removeprefix("vmlinuz-"), folder / "rootfs.squashfs")


def _run_its_programs() -> None:
    """Have the kernel hand programs for arm64 to QEMU; leave the test out where it does not."""
    handlers = Path("/proc/sys/fs/binfmt_misc")
    if not (handlers / "register").exists():
        subprocess.run(("mount", "-t", "binfmt_misc", "binfmt_misc", str(handlers)), check=False)
    if not (handlers / "qemu-aarch64").exists():
        subprocess.run(("update-binfmts", "--enable", "qemu-aarch64"), check=False, env={"PATH": PATH})
    if not (handlers / "qemu-aarch64").exists():
        pytest.skip("they need a kernel that hands programs for arm64 to QEMU (binfmt_misc)")


def initramfs(debian: Arm64, out: Path) -> list[str]:
    """Build an initramfs of this source tree in the tree by the documented command; return the command's words."""
    fleet = images.fleet()
    said = run(
        *SWARMBOOT, "hook", "build-initramfs", "--inside", str(debian.tree), "--kernel", debian.version,
        "--out", str(out), "--trust", str(fleet.trust), "--ca", str(fleet.authority), within_s=BUILD_S,
    )  # fmt: skip
    return said.splitlines()


def forget_runtime(debian: Arm64) -> None:
    """Have the next build make the runtime again if this source tree has changed since it was made."""
    sources = [*ROOT.glob("leecher/*.py"), *ROOT.glob("swarmboot/*.py"), *ROOT.glob("seeder/hook_*.py")]
    key, noted = fingerprint([*sources, ROOT / "initramfs-hook/runtime.toml"]), debian.tree.parent / "runtime.key"
    if not noted.exists() or noted.read_text() != key:
        for name in ("runtime.squashfs", "runtime.libraries"):
            (debian.tree / "usr/lib/swarmboot" / name).unlink(missing_ok=True)
        noted.write_text(key)


def write_release(folder: Path, debian: Arm64) -> Path:
    """Make a release of the root image and a plugin that says on the console what has booted."""
    (folder / "plugins").mkdir(parents=True)
    (folder / "rootfs.squashfs").hardlink_to(debian.root)
    tree = folder.parent / f"{folder.name}-marker"
    images.write_marker(tree)
    marker = tree / "usr/local/sbin/marker"
    marker.write_text(marker.read_text().replace("say end of it\n", f"{_SAYS_MEMORY}say end of it\n"))
    run("mksquashfs", str(tree), str(folder / "plugins/20-marker.squashfs"), "-all-root", "-noappend", "-quiet")
    return folder
