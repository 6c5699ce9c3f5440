"""Debian of other suites as ground to boot from: a fresh minimal system, the hook in it by docs/boot.md's commands.

Each step is an overlay over the one before and is kept by what it is made of: the fresh system, of which the nodes'
root image is made, and what the page has an operator install; dracut in place of initramfs-tools; the runtime image;
and the hook with the fleet's trust, for whichever generator. Nothing is installed on this machine.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from netsim.demo import debian
from netsim.demo.files import make_squashfs
from tests.support.tree import HOOK, TREE
from tests.system.vm import images
from tests.system.vm.cache import CACHE, cached, fingerprint
from tests.system.vm.programs import BOUND_TO_US, run

GENERATORS = ("initramfs-tools", "dracut")
_FRESH = (
    "systemd-sysv", "libpam-systemd", "dbus", "udev", "kmod", "iproute2", "procps", "login", "passwd", "zstd",
    "ca-certificates",
)  # fmt: skip
_KERNEL = ("linux-image-cloud-amd64", "initramfs-tools")
_SWARMBOOTS_OWN = ("python3-click",)
_APT = """// The suite may be older than its lists say they are good for.
Acquire::Check-Valid-Until "false";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
"""
_SWARMBOOT = """#!/bin/sh
PYTHONPATH=/src:/src-metadata exec python3 -m swarmboot "$@"
"""
# By this variable of the kernel's own hooks no initramfs is made on the way, which may be the one that nobody boots.
_INSTALL = 'apt-get -q update && INITRD=No apt-get -qy install "$@" && apt-get clean'
_WITHOUT = {"initramfs-tools": 'update-initramfs -c -k "$1"', "dracut": 'dracut --quiet --force --kver "$1"'}
_TRUST = "--trust /root/fleet/keys/swarmboot.pub --ca /root/fleet/state/ca.pem"
_PAGE = {
    "initramfs-tools": f"swarmboot hook install --initramfs-tools {_TRUST}; update-initramfs -u",
    "dracut": f'swarmboot hook install --dracut {_TRUST}; dracut --force --kver "$1"',
}
_LEAN = "swarmboot hook build-initramfs {} --generator {} --kernel $1 --out /boot/initrd.img-$1 " + _TRUST
_NOT_IN_A_ROOT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/zoneinfo", "var/lib/apt/lists",
                  "var/cache/apt", "var/cache/debconf", "var/lib/dpkg/info")  # fmt: skip
_CHROOT = """
set -eu
mount -t overlay -o "$1" chroot "$2"
cd "$2"
shift 2
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
[ ! -e /etc/resolv.conf ] || cp -L /etc/resolv.conf etc/resolv.conf
while [ "$1" != -- ]; do
    mkdir -p "./$1"
    mount --bind "$2" "./$1"
    mount -o remount,bind,ro "./$1"
    shift 2
done
shift
exec chroot . env -i ${http_proxy:+http_proxy="$http_proxy"} PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
"""
_CONTAINED = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--")
_BOUND_S = 1800.0


@dataclass(frozen=True, slots=True)
class Chroot:
    """A Debian: folders over one another, the lowest first."""

    layers: tuple[Path, ...]

    def run(self, *command: str, into: Path | None = None, binds: Mapping[str, Path] | None = None) -> str:
        """Run a command in it and return its output; what it changes goes to the folder `into`, or is forgotten."""
        bound = [word for name, path in (binds or {}).items() for word in (name, str(path.resolve()))]
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="chroot.partial.") as work:
            upper = into or Path(work) / "upper"
            for folder in (upper, Path(work) / "work", Path(work) / "root"):
                folder.mkdir(exist_ok=True)
            lower = ":".join(str(layer.resolve()) for layer in reversed(self.layers))
            options = f"lowerdir={lower},upperdir={upper.resolve()},workdir={work}/work"
            return run(
                *BOUND_TO_US, *_CONTAINED, "sh", "-c", _CHROOT, "sh", options, f"{work}/root", *bound, "--", *command,
                within_s=_BOUND_S,
            )  # fmt: skip

    def on_top(self, layer: Path) -> Chroot:
        """Return the same with one more folder over it."""
        return Chroot((*self.layers, layer))


@dataclass(frozen=True, slots=True)
class Ground:
    """What nodes boot: a suite's kernel and an initramfs of one generator; and where they were made."""

    suite: str
    generator: str
    folder: Path
    chroot: Chroot
    root_image: Path

    @property
    def kernel(self) -> Path:
        """Return the kernel."""
        return self.folder / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        """Return the initramfs."""
        return self.folder / "initramfs.img"

    @property
    def facts(self) -> dict[str, str]:
        """Return versions and sizes: `kernel`, `generator`, `runtime`, `without`, `with`."""
        found: dict[str, str] = json.loads((self.folder / "facts.json").read_text())
        return found


def page_installs() -> list[tuple[str, ...]]:
    """Return the packages of each `apt install` of docs/boot.md that are Debian's own."""
    page = (TREE / "docs/boot.md").read_text().replace("\\\n", " ")
    lines = re.findall(r"^ +apt install ([^#\n]+)", page, flags=re.MULTILINE)
    return [tuple(word for word in line.split() if not word.startswith(("./", "-"))) for line in lines]


def ground(suite: str, generator: str, *, is_lean: bool = False, is_quick: bool = False) -> Ground:
    """Return a suite with the hook in it for a generator, made now if it is not there.

    A lean one has the initramfs that the page builds for the fleet, and nothing of the hook installed; a quick one is
    lean too, packed less tightly, its runtime as emulation unpacks it sooner.
    """
    base, trusted = fresh(suite), images.fleet()
    chroot = Chroot((base / "tree", base / "upper"))
    runtime = _runtime(suite, chroot, is_quick=is_quick)
    if generator == "dracut":
        chroot = chroot.on_top(_with_dracut(suite, chroot) / "upper")
    sources = [path for path in HOOK.rglob("*") if path.is_file()]
    sources += [*TREE.glob("seeder/hook/*.py"), trusted.trust, trusted.authority]
    kind, flags = (".quick", "--lean --quick") if is_quick else (".lean", "--lean") if is_lean else ("", "")
    sources += TREE.glob("seeder/initramfs/*.py") if flags else ()
    script = _LEAN.format(flags, generator) if flags else _PAGE[generator]

    def build(folder: Path) -> None:
        (folder / "upper").mkdir(parents=True)
        before = "" if is_quick else _WITHOUT[generator]
        _install_hook(folder, chroot, script, before=before, generator=generator, runtime=runtime, trusted=trusted)

    name = f"ground.{suite}.{generator}{kind}"
    folder = cached(name, fingerprint(sources, *_names(chroot), runtime.name, script), build)
    return Ground(suite, generator, folder, chroot.on_top(folder / "upper"), base / "rootfs.squashfs")


def _names(chroot: Chroot) -> list[str]:
    return [layer.parent.name for layer in chroot.layers]


def fresh(suite: str) -> Path:
    """Return a folder with a fresh system (`tree`), a node's root, and what the page has one install (`upper`)."""
    packages = (*_KERNEL, *_SWARMBOOTS_OWN, *page_installs()[0])
    command = debian.bootstrap(Path("tree"), suite, _FRESH, "")  # whatever the mirror

    def build(folder: Path) -> None:
        tree, codename = folder / "tree", platform.freedesktop_os_release()["VERSION_CODENAME"]
        folder.mkdir()
        made = debian.bootstrap(tree, suite, _FRESH, debian.mirror(codename, "amd64"))
        run(*BOUND_TO_US, *_CONTAINED, *made, within_s=_BOUND_S)
        make_squashfs(tree, folder / "rootfs.squashfs", "-wildcards", "-e", *_NOT_IN_A_ROOT, level=6)
        (tree / "etc/apt/apt.conf.d/99ground").write_text(_APT)
        (tree / "usr/local/bin/swarmboot").write_text(_SWARMBOOT)
        (tree / "usr/local/bin/swarmboot").chmod(0o755)
        Chroot((tree,)).run("sh", "-ec", _INSTALL, "sh", *packages, into=folder / "upper")

    return cached(f"chroot.{suite}", fingerprint((), *command, *packages, _INSTALL, _APT, _SWARMBOOT), build)


def _with_dracut(suite: str, chroot: Chroot) -> Path:
    """Return a folder whose `upper` replaces initramfs-tools by dracut as the page says."""
    packages = page_installs()[1]

    def build(folder: Path) -> None:
        folder.mkdir()
        chroot.run("sh", "-ec", _INSTALL, "sh", *packages, into=folder / "upper")

    return cached(f"dracut.{suite}", fingerprint((), *_names(chroot), *packages), build)


def _runtime(suite: str, chroot: Chroot, *, is_quick: bool) -> Path:
    """Return a folder with the runtime image that `hook install` would build in a suite, or a quicker one."""
    sources = [*TREE.glob("leecher/**/*.py"), *TREE.glob("swarmboot/**/*.py"), *TREE.glob("seeder/hook/*.py")]
    sources += [HOOK / "runtime.toml"]
    kind, flags = (".quick", ("--compression", "zstd")) if is_quick else ("", ())

    def build(folder: Path) -> None:
        folder.mkdir()
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="chroot.partial.") as work:
            upper = Path(work) / "made"
            chroot.run("swarmboot", "hook", "build-runtime", *flags, into=upper, binds=_source_tree())
            for name in ("runtime.squashfs", "runtime.libraries"):
                shutil.copyfile(upper / "usr/lib/swarmboot" / name, folder / name)

    return cached(f"runtime.{suite}{kind}", fingerprint(sources, *_names(chroot)), build)


def _source_tree() -> dict[str, Path]:
    """Return what makes the command `swarmboot` this source tree's in a chroot."""
    (metadata,) = Path(sysconfig.get_path("purelib")).glob("swarmboot-*.dist-info")
    return {"src": TREE, f"src-metadata/{metadata.name}": metadata}


def _install_hook(
    folder: Path, chroot: Chroot, script: str, *, before: str, generator: str, runtime: Path, trusted: images.Fleet
) -> None:
    """Run the page's commands in a chroot, and keep kernel, initramfs and what is worth knowing of them.

    `before` is run first, and makes the initramfs of a machine without swarmboot.
    """
    upper = folder / "upper"
    (upper / "usr/lib/swarmboot").mkdir(parents=True)
    for name in ("runtime.squashfs", "runtime.libraries"):
        shutil.copyfile(runtime / name, upper / "usr/lib/swarmboot" / name)
    binds = {**_source_tree(), "root/fleet": trusted.folder}
    version = chroot.run("sh", "-ec", "ls /lib/modules").strip()
    without = upper / "boot" / f"initrd.img-{version}"
    chroot.run("sh", "-ec", before, "sh", version, into=upper)
    facts = {"kernel": version, "without": str(without.stat().st_size if before else 0)}
    chroot.run("sh", "-ec", script, "sh", version, into=upper, binds=binds)
    package = {"initramfs-tools": "initramfs-tools-core", "dracut": "dracut-core"}[generator]
    made = chroot.run("dpkg-query", "-W", "-f", "${Package}=${Version}\n", package, "systemd", "python3-libtorrent")
    shutil.copyfile(upper / "boot" / f"initrd.img-{version}", folder / "initramfs.img")
    (kernel,) = (layer / "boot" / f"vmlinuz-{version}" for layer in chroot.layers if _has_kernel(layer, version))
    shutil.copyfile(kernel, folder / "vmlinuz")
    facts |= {
        **dict(line.split("=", 1) for line in made.splitlines()),
        "runtime": str((runtime / "runtime.squashfs").stat().st_size),
        "with": str((folder / "initramfs.img").stat().st_size),
    }
    (folder / "facts.json").write_text(json.dumps(facts))


def _has_kernel(layer: Path, version: str) -> bool:
    return (layer / "boot" / f"vmlinuz-{version}").is_file()
