"""A Debian 13 for arm64: its packages unpacked into a tree, an initramfs built in that by the documented command.

The tree is what debootstrap makes, less what maintainer scripts would set up and a boot does not need: running them by
QEMU's user emulation took half an hour. What is built in the tree is built by its own programs all the same.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tree import TREE
from tests.system.bare.packages import apt_for
from tests.system.vm import images
from tests.system.vm.cache import cached, fingerprint
from tests.system.vm.programs import PATH, SWARMBOOT, run

SUITE = "trixie"
BUILD_S = 3000.0
DOCUMENTED = (
    "linux-image-cloud-arm64", "initramfs-tools", "busybox", "zstd", "squashfs-tools", "binutils", "iproute2",
    "python3-click", "python3-libtorrent", "python3-trio", "python3-h11", "python3-msgpack", "python3-cryptography",
    "python3-cffi-backend",
)  # fmt: skip
"""What docs/boot.md has debootstrap include; the root image needs what comes next as well."""
_BASE = ("?essential", "base-files", "base-passwd", "mount")
_ROOT_PACKAGES = ("systemd-sysv", "udev", "kmod", "procps", "dbus", "login")
_LIBRARIES = "usr/lib/aarch64-linux-gnu"
_NOT_IN_THE_ROOT = (
    "boot", "usr/lib/modules", "usr/lib/python3", "usr/lib/python3.*", "usr/bin/python3*", "usr/lib/swarmboot",
    *(f"{_LIBRARIES}/{name}*" for name in ("libtorrent", "libboost", "perl", "libbfd", "libopcodes", "libgprofng")),
    *(f"usr/share/{name}" for name in ("doc", "locale", "man", "info", "perl", "perl5", "zoneinfo", "initramfs-tools")),
    "usr/lib/udev/hwdb.d", "var/lib/apt", "var/cache", "var/lib/dpkg/info", "var/log", "usr/bin/aarch64-linux-gnu-*",
)  # fmt: skip
_SAMPLER = """#!/bin/sh
# Notes every second how little memory there was, and how much the leecher has had at most.
case ${1:-} in prereqs) exit 0 ;; esac
(
    least=999999999
    while sleep 1; do
        while read -r name kib _; do
            case $name in MemAvailable:) [ "$kib" -ge "$least" ] || least=$kib && break ;; esac
        done </proc/meminfo
        for folder in /proc/[0-9]*; do
            read -r name <"$folder/comm" || continue
            case $name in python*) ;; *) continue ;; esac
            while read -r name kib _; do
                case $name in VmHWM:) leecher=$kib && break ;; esac
            done <"$folder/status"
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
say model "$(tr -d '\\0' </proc/device-tree/model)"
"""
_PREPARE = """
set -e
cp usr/share/base-passwd/passwd.master etc/passwd
cp usr/share/base-passwd/group.master etc/group
sed 's/:.*/::19000:0:99999:7:::/' etc/passwd >etc/shadow
ln -s mawk usr/bin/awk
echo arm64 >etc/hostname
: >etc/machine-id
depmod --basedir "$PWD" "$(basename lib/modules/*)"
chroot . ldconfig
"""
"""What the packages' maintainer scripts would have done, as far as it is needed."""


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
    packages = (*_BASE, *DOCUMENTED, *_ROOT_PACKAGES)

    def build(folder: Path) -> None:
        tree, archives = folder / "tree", folder / "archives"
        tree.mkdir(parents=True)
        (archives / "partial").mkdir(parents=True)
        (folder / "status").touch()
        options = (
            "APT::Architecture=arm64",
            f"Dir::State::status={folder / 'status'}",
            f"Dir::Cache::archives={archives}",
        )
        wanted = ("install", "--download-only", "--yes", "--no-install-recommends", *packages)
        run(*apt_for(SUITE, "arm64"), *(word for option in options for word in ("-o", option)), *wanted)
        for deb in sorted(archives.glob("*.deb"), key=lambda path: (not path.name.startswith("base-files_"), path)):
            run("dpkg-deb", "--extract", str(deb), str(tree))
        shutil.rmtree(archives)
        run("sh", "-c", _PREPARE, folder=tree)
        command = ("mksquashfs", str(tree), str(folder / "rootfs.squashfs"), "-comp", "zstd", "-b", "256K")
        run(*command, "-noappend", "-no-progress", "-quiet", "-wildcards", "-e", *_NOT_IN_THE_ROOT)

    key = fingerprint((), SUITE, *packages, _PREPARE, *_NOT_IN_THE_ROOT)
    folder = cached("arm64", key, build)
    sampler = folder / "tree/etc/initramfs-tools/scripts/init-premount/sampler"
    sampler.write_text(_SAMPLER)
    sampler.chmod(0o755)
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


def forget_runtime(debian: Arm64) -> bool:
    """Have the next build make the runtime again if this source tree has changed since, and return whether it will."""
    sources = [*TREE.glob("leecher/**/*.py"), *TREE.glob("swarmboot/**/*.py"), *TREE.glob("seeder/hook/*.py")]
    key, noted = fingerprint([*sources, TREE / "initramfs-hook/runtime.toml"]), debian.tree.parent / "runtime.key"
    is_stale = not noted.exists() or noted.read_text() != key
    if is_stale:
        for name in ("runtime.squashfs", "runtime.libraries"):
            (debian.tree / "usr/lib/swarmboot" / name).unlink(missing_ok=True)
        noted.write_text(key)
    return is_stale


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
