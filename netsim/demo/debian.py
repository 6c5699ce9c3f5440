"""Build a real Debian release as root: mmdebstrap's tree as the root image, and its kernel and initramfs as stage 0.

The mirror is the one that apt is configured with on this machine. It installs nothing on this machine, and mounts and
child processes live in namespaces of their own that end with the build, however it ends. See mmdebstrap(1),
mksquashfs(1) and apt-get(8), `indextargets`.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from netsim.demo.files import make_squashfs, missing_programs, reproducible_environment
from swarmboot.errors import LabError
from swarmboot.host.programs import run_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_INSIDE = Path(__file__).with_name("debian-tree.sh")
_PROGRAMS = ("mmdebstrap", "mksquashfs", "setpriv", "unshare", "apt-get", "dpkg")
_KERNELS = {"amd64": "linux-image-cloud-amd64", "arm64": "linux-image-cloud-arm64"}
_PACKAGES = (
    "systemd-sysv", "systemd-resolved", "systemd-timesyncd", "libpam-systemd", "dbus", "udev", "kmod",
    "initramfs-tools", "busybox", "zstd", "iproute2", "iputils-ping", "procps", "ca-certificates", "less",
)  # fmt: skip
_MERGES = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"
_NO_MORE = 'APT::Install-Recommends "false"'
_FIELDS = "$(CREATED_BY) $(ORIGIN) $(COMPONENT) $(CODENAME) $(ARCHITECTURE) $(REPO_URI)"
_BOOTSTRAP_BOUND_S = 1800
_STEP_BOUND_S = 600
_END_BOUND_S = 10


def why_not() -> str:
    """Return why this machine cannot build a Debian release, or nothing if it can try."""
    if os.geteuid() != 0:
        return "not root"
    if missing := missing_programs(_PROGRAMS):
        return f"{', '.join(missing)} not installed"
    if platform.freedesktop_os_release().get("ID") != "debian":
        return "not a Debian machine"
    if _output("dpkg", "--print-architecture") not in _KERNELS:
        return "no cloud kernel for this processor"
    return ""


def build(into: Path, *, work: Path, say: Callable[[str], None]) -> None:
    """Write vmlinuz, initramfs.img and rootfs.squashfs into a folder, making the tree under `work`.

    Raises LabError with the program's last words if a step fails, or if apt knows no mirror.
    """
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    architecture = _output("dpkg", "--print-architecture")
    address = mirror(codename, architecture)
    tree, packages = work / "tree", (*_PACKAGES, _KERNELS[architecture])
    say(f"mmdebstrap {codename}, {len(packages)} packages and what they need: a few minutes, once")
    _run(bootstrap(tree, codename, packages, address), bound_s=_BOOTSTRAP_BOUND_S)
    say("making the initramfs and trimming the tree")
    (tree / _INSIDE.name).write_bytes(_INSIDE.read_bytes())
    _run(("chroot", str(tree), "sh", f"/{_INSIDE.name}"), bound_s=_STEP_BOUND_S)
    (tree / _INSIDE.name).unlink()
    for name in ("vmlinuz", "initramfs.img"):
        (tree / "stage0" / name).rename(into / name)
        (into / name).chmod(0o644)
    (tree / "stage0").rmdir()
    say("compressing the root image")
    make_squashfs(tree, into / "rootfs.squashfs")


def bootstrap(tree: Path, suite: str, packages: Iterable[str], address: str) -> tuple[str, ...]:
    """Return the command that makes a minimal system of a suite with these packages in `tree`, as root.

    mmdebstrap(1) has half of debootstrap's processor time. It is told to merge /usr itself: else a suite in which
    that is a choice (bookworm) has the package that does it, and all of Perl with it. No initramfs is made on the
    way, by a switch of initramfs-tools' own: whoever wants one makes it when the tree is whole.
    """
    included = f"--include={','.join(packages)}"
    options = ("--mode=root", "--variant=minbase", "--quiet", f"--hook-dir={_MERGES}", f"--aptopt={_NO_MORE}")
    return ("env", "INITRD=No", "mmdebstrap", *options, included, suite, str(tree), address)


def mirror_from(targets: str, *, codename: str, architecture: str) -> str:
    """Return the address that apt takes a Debian suite's main packages from, or nothing.

    `targets` are lines of `apt-get indextargets` in the format `_FIELDS`.
    """
    wanted = ["Packages", "Debian", "main", codename, architecture]
    for line in targets.splitlines():
        *fields, address = line.split(" ")
        if fields == wanted and address.startswith(("http:", "https:", "file:", "mirror+file:")):
            return address
    return ""


def mirror(codename: str, architecture: str) -> str:
    """Return the mirror that apt takes this machine's own suite from; raise LabError if apt knows none."""
    for attempt in ("as it is", "refreshed"):
        if attempt == "refreshed":
            _output("apt-get", "update", "--quiet=2")
        targets = _output("apt-get", "indextargets", "--format", _FIELDS)
        if address := mirror_from(targets, codename=codename, architecture=architecture):
            return _first_of_list(address) if address.startswith("mirror+file:") else address
    raise LabError(f"apt knows no mirror of Debian {codename} main for {architecture}")


def _first_of_list(address: str) -> str:
    """Return the first mirror of an apt-transport-mirror(1) list file."""
    path = Path("/" + address.removeprefix("mirror+file:").strip("/"))
    entries = [line.split()[0] for line in path.read_text().splitlines() if line.strip() and line[0] != "#"]
    if not entries:
        raise LabError(f"{path} lists no mirror")
    return entries[0]


def _output(*command: str) -> str:
    what = f"{command[0]} {command[1]}"
    return run_program(command, bound_s=_STEP_BOUND_S, failure=LabError, what=what).strip()


def _run(command: tuple[str, ...], *, bound_s: float) -> None:
    """Run a program in mount and process namespaces of its own; what it mounts and starts ends with it."""
    contained = (
        "setpriv", "--pdeathsig", "KILL",
        "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--", *command,
    )  # fmt: skip
    with subprocess.Popen(
        contained, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", env=reproducible_environment(),
    ) as process:  # fmt: skip
        try:
            output, _ = process.communicate(timeout=bound_s)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{command[0]} took longer than {bound_s:.0f} s") from error
        finally:
            process.kill()
            process.communicate(timeout=_END_BOUND_S)  # the pipe closes when the last process of the namespace is gone
    if process.returncode != 0:
        words = " ".join(output.split("\n")[-3:])[-300:]
        raise LabError(f"{command[0]} failed", expected="exit status 0", found=f"{process.returncode}: {words}")
