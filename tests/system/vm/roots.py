"""Roots of other kinds: the sample's Debian as a trimmed tree, that tree with sysvinit, and next to nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from random import Random

from netsim.demo.release import sample_release
from tests.system.vm.programs import run

_LEFT_OUT = (
    "usr/share/doc", "usr/share/zoneinfo", "usr/share/perl", "usr/share/locale", "usr/lib/modules",
    "usr/lib/udev/hwdb.d", "usr/lib/x86_64-linux-gnu/gconv", "var/lib/dpkg", "var/cache", "usr/share/initramfs-tools",
)  # fmt: skip
_SYSVINIT = ("sysvinit-core", "sysv-rc", "initscripts", "insserv", "startpar", "sysvinit-utils")
_MERGED = ("bin", "lib", "sbin")
_MARKER = """#!/bin/sh
### BEGIN INIT INFO
# Provides:          marker
# Required-Start:    $all
# Required-Stop:
# Default-Start:     2
# Default-Stop:
# Short-Description: Say on the console what this root is made of
### END INIT INFO
say() { echo "marker: $*" >/dev/console; }
say init "$(cat /proc/1/comm), systemd $([ -e /usr/lib/systemd ] && echo there || echo gone)"
say root "$(awk '$2 == "/" {fs = $3} END {print fs}' /proc/mounts)"
say plugin "$(. /etc/hello.conf && echo "$HELLO")"
say other "$([ -e /opt/other ] && echo there || echo gone)"
say setuid "$(stat -c %a /opt/tool)"
say environment "$(tr '\\n' ' ' </etc/environment)"
say address "$(ip -o -4 address show scope global | awk '{print $4}')"
(
    try=0
    while [ $try -lt 90 ]; do
        try=$((try + 1))
        user=$(ps -o user= -p "$(cat /run/swarmboot-seed.pid 2>/dev/null)" 2>/dev/null)
        [ "${user:-root}" = root ] || break
        sleep 1
    done
    say user "$user"
    say rights "$(awk '/^(CapPrm|NoNewPrivs):/ {printf "%s%s ", $1, $2}' "/proc/$(cat /run/swarmboot-seed.pid)/status")"
    say end of it
) </dev/null >/dev/null 2>&1 &
"""
_NOT_ENABLED = ("README", "rc", "rcS", "killprocs", "single")


def write_tree(tree: Path) -> Path:
    """Make the sample's root image a tree again, without what a machine in a test can do without."""
    image = sample_release(say=print) / "rootfs.squashfs"
    run("unsquashfs", "-quiet", "-no-progress", "-dest", str(tree), str(image))
    for name in _LEFT_OUT:
        run("rm", "-rf", str(tree / name))
    return tree


def write_sysvinit_tree(tree: Path, *, work: Path) -> Path:
    """Make a tree whose /sbin/init is Debian's sysvinit, in insserv's and startpar's order, with a marker in it."""
    write_tree(tree)
    work.mkdir()
    run("apt-get", "-o", "APT::Sandbox::User=root", "download", *_SYSVINIT, folder=work)
    files = tree / "packages"
    for deb in sorted(work.glob("*.deb")):
        run("dpkg", "-x", str(deb), str(files))
    for name in ("usr/lib/systemd", "usr/sbin/init", "etc/systemd"):
        run("rm", "-rf", str(tree / name))
    for path in sorted(files.iterdir()):
        # In a chroot, and never through a link that is there already: those of systemd lead to /bin/systemctl.
        to = f"/usr/{path.name}" if path.name in _MERGED else f"/{path.name}"
        run("chroot", str(tree), "cp", "-a", "--remove-destination", f"/packages/{path.name}/.", to)
    run("rm", "-rf", str(files))
    shutil.copyfile(tree / "usr/share/sysvinit/inittab", tree / "etc/inittab")
    with (tree / "etc/inittab").open("a") as inittab:
        inittab.write("T0:23:respawn:/sbin/getty -L ttyS0 115200 vt100\n")
    (tree / "etc/fstab").write_text("swarmboot / overlay defaults 0 0\n")
    (tree / "fastboot").touch()
    marker = tree / "etc/init.d/marker"
    marker.write_text(_MARKER)
    marker.chmod(0o755)
    scripts = sorted({path.name for path in (tree / "etc/init.d").glob("[!.]*")} - {*_NOT_ENABLED})
    run("chroot", str(tree), "insserv", "--default", *scripts)
    return tree


_TINY_INIT = """#!/bin/busybox sh
# Says on the console what this root is made of, and ends.
PATH=/bin
say() { echo "marker: $*" >/dev/console; }
say root "$(awk '$2 == "/" {fs = $3} END {print fs}' /proc/mounts)"
say environment "$(tr '\\n' ' ' </etc/environment)"
say addresses "$(ip -o address show | awk '$2 != "lo" {print $4}' | tr '\\n' ' ')"
set -- /opt/plugins/*
[ -e "$1" ] || shift
say plugins $#
say written "$(echo new >/etc/new && cat /etc/new)"
say seed "$([ -e /run/systemd/system/swarmboot-seed.service ] && echo placed || echo none)"
say report "$(cat /run/swarmboot/boot.json)"
say end of it
sleep 1
poweroff -f
"""
_APPLETS = ("sh", "awk", "tr", "ip", "cat", "sleep", "poweroff")


def write_tiny_root(out: Path, *, work: Path, padding_bytes: int) -> None:
    """Write a squashfs that says what it is made of and ends; it passes for a systemd root where the hook looks."""
    files = {
        "sbin/init": _TINY_INIT,
        "etc/os-release": "ID=tiny\n",
        "usr/lib/systemd/systemd": "",
        "etc/environment": "",
    }
    for name, text in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    (work / "sbin/init").chmod(0o755)
    for folder in ("bin", "dev", "proc", "sys", "run", "tmp"):
        (work / folder).mkdir()
    said = subprocess.run(("ldd", "/bin/busybox"), capture_output=True, text=True, check=False).stdout
    for program in ("/bin/busybox", *re.findall(r"(/\S+) \(0x", said)):
        (work / program.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, work / program.lstrip("/"))
    for applet in _APPLETS:
        (work / "bin" / applet).symlink_to("busybox")
    (work / "padding").write_bytes(Random(3).randbytes(padding_bytes))
    pack_plain(work, out)


_PLAIN = ("-comp", "zstd", "-noI", "-noD", "-noF", "-noX")


def pack_plain(tree: Path, image: Path) -> None:
    """Pack a folder into a squashfs without compression: an emulated machine spends minutes on zstd."""
    run("mksquashfs", str(tree), str(image), "-all-root", "-noappend", "-quiet", *_PLAIN)
