"""A Debian Live image by live-build, built once: minimal, with what says on the console what has booted."""

from __future__ import annotations

import platform
from pathlib import Path

from netsim.demo.debian import mirror
from tests.system.vm import images
from tests.system.vm.cache import cached, fingerprint
from tests.system.vm.machine import EMULATED
from tests.system.vm.programs import run

NETBOOT, ISO = "live-image-amd64.netboot.tar", "live-image-amd64.iso"
NEXT = "trixie"
"""The suite after this machine's, whose image is an ISO."""
HOST_NAME, USER, FULL_NAME = "rack-live", "maria", "Maria of the medium"
ARGUMENTS = f"boot=live components hostname={HOST_NAME} username={USER} toram console=ttyS0 {EMULATED}"
_PACKAGES = """live-boot live-config live-config-systemd systemd-sysv dbus
sudo user-setup iproute2 procps
"""
_CONFIG = (
    "--bootloaders", "syslinux", "--debian-installer", "none", "--memtest", "none",
    "--archive-areas", "main", "--linux-flavours", images.CLOUD, "--debootstrap-options", "--variant=minbase",
    "--apt-indices", "false", "--apt-recommends", "false", "--security", "false", "--updates", "false",
    "--firmware-chroot", "false", "--firmware-binary", "false", "--win32-loader", "false", "--checksums", "none",
    "--chroot-squashfs-compression-type", "zstd", "--bootappend-live", ARGUMENTS,
)  # fmt: skip
_BUILD_S = 1800
_SAID = f"""say suite "$(. /etc/os-release && echo "$VERSION_CODENAME")"
say kernel "$(uname -r)"
say live "$(systemctl is-active live-config)"
say user "$(getent passwd {USER})"
say groups "$(id -nG {USER})"
say sudo "$(su {USER} -c 'sudo -n id -u')"
say tty "$(systemctl cat getty@tty1 | grep -e --autologin)"
say host "$(hostname) $(cat /etc/hostname)"
say medium "$(readlink /run/live) $(ls /run/live/medium/live)"
say hook "$(cat /etc/by-a-hook)"
say servers "$(grep -c ^nameserver /etc/resolv.conf)"
"""


def _build(folder: Path, suite: str, form: str, kept: tuple[str, ...]) -> None:
    """Build the image in a mount namespace of its own, and keep of it what is named."""
    address = mirror(own_suite(), "amd64")
    mirrors = [word for kind in ("bootstrap", "chroot", "binary") for word in (f"--mirror-{kind}", address)]
    work = folder.with_name("work")
    work.mkdir()
    run("lb", "config", "--distribution", suite, "--binary-images", form, *mirrors, *_CONFIG, folder=work)
    _write_config(work / "config")
    contained = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "--")
    run(*contained, "lb", "build", folder=work, within_s=_BUILD_S)
    folder.mkdir()
    for name in kept:
        (work / name).rename(folder / name)


def own_suite() -> str:
    """Return what this machine's suite is called."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _write_config(config: Path) -> None:
    """Write what the image has beside live-build's defaults: packages, the marker, and files for live-config."""
    (config / "package-lists/own.list.chroot").write_text(_PACKAGES)
    includes, medium = config / "includes.chroot", config / "includes.binary/live"
    images.write_marker(includes, first=_SAID)
    (includes / "etc/hello.conf").write_text("HELLO=live\n")
    (medium / "config-hooks").mkdir(parents=True)
    (medium / "config.conf").write_text(f'LIVE_USER_FULLNAME="{FULL_NAME}"\nLIVE_HOOKS="medium"\n')
    (medium / "config-hooks/10-own").write_text("#!/bin/sh\necho ran >/etc/by-a-hook\n")


def live_image() -> Path:
    """Return a folder with the netboot.tar that `lb build` has made, and the trees `binary` and `tftpboot`."""
    key = fingerprint([Path(__file__)], images.debian_kernel().version, *_CONFIG, _SAID)
    return cached("live", key, lambda folder: _build(folder, own_suite(), "netboot", (NETBOOT, "binary", "tftpboot")))


def live_iso() -> Path:
    """Return the ISO that `lb build` has made of Debian's next suite."""
    key = fingerprint([Path(__file__)], NEXT, *_CONFIG, _SAID)
    return cached(f"live.{NEXT}", key, lambda folder: _build(folder, NEXT, "iso", (ISO,))) / ISO
