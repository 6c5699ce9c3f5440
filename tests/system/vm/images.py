"""What the machines boot: Debian's kernel, our runtime, initramfs images made by the distribution's own programs."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from netsim.demo.files import make_squashfs
from netsim.demo.release import sample_release
from seeder.http.authority import issue_certificate
from tests.support.tree import HOOK, TREE
from tests.system.vm.cache import cached, fingerprint
from tests.system.vm.programs import SWARMBOOT, run
from tests.system.vm.roots import write_tree

_MARKER_UNIT = """[Unit]
After=multi-user.target swarmboot-seed.service
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/marker
"""
_MARKER = """#!/bin/sh
# Says on the console what this root is made of.
say() { echo "marker: $*" >/dev/console; }
say root "$(awk '$2 == "/" {fs = $3} END {print fs}' /proc/mounts)"
while grep -q '"exchange_ms": null' /run/swarmboot/images/lazy.json 2>/dev/null; do sleep 1; done
[ ! -d /sys/fs/fuse/connections ] || mount -t fusectl none /sys/fs/fuse/connections 2>/dev/null
say fuse "$(ls /sys/fs/fuse/connections 2>/dev/null)"
say plugin "$(. /etc/hello.conf && echo "$HELLO")"
say motd "$([ -e /etc/motd ] && echo there || echo gone)"
say environment "$(tr '\\n' ' ' </etc/environment)"
say own "$(cat /etc/node 2>/dev/null)$(uname -n) $(getent hosts "$(uname -n)" | head -n 1)"
say tree "$(cat /opt/tree 2>/dev/null)"
for image in /run/swarmboot/images/rootfs.*; do say image "$(sha256sum <"$image" | cut -c1-64)"; done
say clock "$(date +%s)"
say report "$(cat /run/swarmboot/boot.json)"
if [ -e /run/systemd/system/swarmboot-seed.service ]; then
    for try in 1 2 3 4 5 6 7 8 9 10; do
        [ "$(systemctl is-active swarmboot-seed)" = active ] && break
        sleep 1
    done
    say seed "$(systemctl is-active swarmboot-seed)"
    pid=$(systemctl show -P MainPID swarmboot-seed)
    say user "$(ps -o user= -p "$pid")"
    say rights "$(awk '/^(CapPrm|CapBnd|NoNewPrivs|Seccomp):/ {printf "%s%s ", $1, $2}' "/proc/$pid/status")"
    say restarts "$(systemctl show -P NRestarts swarmboot-seed)"
else
    say seed none
fi
say end of it
"""
_MASKED = (
    "systemd-resolved.service", "systemd-timesyncd.service", "systemd-pstore.service", "systemd-repart.service",
    "e2scrub_reap.service", "e2scrub_all.timer", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
    "fstrim.timer", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "dev-hugepages.mount",
)  # fmt: skip

CLOUD = "cloud-amd64"

_AROUND = """
[ -z "$2" ] || mount -t overlay -o "lowerdir=$2/usr:/usr" beside /usr || exit
mount --bind "$1/lib/modules" /lib/modules && mount --bind "$1/boot" /boot || exit
shift 2
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A Debian kernel, unpacked but not installed."""

    version: str
    tree: Path

    @property
    def image(self) -> Path:
        """Return the kernel itself."""
        return self.tree / "boot" / f"vmlinuz-{self.version}"

    def around(self, beside: Path | None = None) -> tuple[str, ...]:
        """Return what to put before a command that must find this kernel's modules and configuration.

        `beside` is a tree of further packages that it is to find as well.
        """
        Path("/lib/modules").mkdir(exist_ok=True)
        contained = ("unshare", "--mount", "--propagation", "private", "--", "sh", "-c", _AROUND, "sh")
        return (*contained, str(self.tree), str(beside or ""))


@cache
def debian_kernel(flavour: str = CLOUD) -> Kernel:
    """Return Debian's kernel of a flavour, downloaded once: the cloud's, or `amd64`, which machines of metal boot."""
    depends = run("apt-cache", "depends", f"linux-image-{flavour}")
    if "Depends:" not in depends:
        run("apt-get", "update", "--quiet=2")
        depends = run("apt-cache", "depends", f"linux-image-{flavour}")
    package = next(line.split()[-1] for line in depends.splitlines() if "Depends:" in line)
    version = package.removeprefix("linux-image-")

    def build(folder: Path) -> None:
        folder.mkdir()
        run("apt-get", "-o", "APT::Sandbox::User=root", "download", package, folder=folder)
        (deb,) = folder.glob("*.deb")
        run("dpkg", "-x", str(deb), str(folder))
        deb.unlink()
        script = 'mount --bind "$1/lib/modules" /lib/modules && depmod "$2"'
        Path("/lib/modules").mkdir(exist_ok=True)
        run("unshare", "--mount", "--", "sh", "-c", script, "sh", str(folder), version)

    return Kernel(version, cached(_named("kernel", flavour), version, build))


def _named(name: str, flavour: str) -> str:
    return name if flavour == CLOUD else f"{name}.{flavour}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """The keys of a fleet that exists in tests only, and the state of a seeder that has made an authority."""

    folder: Path

    @property
    def keys(self) -> Path:
        """Return the folder with the key pair."""
        return self.folder / "keys"

    @property
    def trust(self) -> Path:
        """Return the public key file."""
        return self.keys / "swarmboot.pub"

    @property
    def authority(self) -> Path:
        """Return the authority's certificate."""
        return self.folder / "state" / "ca.pem"

    def state(self, to: Path) -> Path:
        """Return a seeder's state folder of one's own, with this fleet's authority in it."""
        shutil.copytree(self.folder / "state", to)
        return to


def fleet() -> Fleet:
    """Return the fleet, made once, so that an initramfs which trusts it can be kept."""

    def build(folder: Path) -> None:
        folder.mkdir()
        run(*SWARMBOOT, "keygen", "--out", str(folder / "keys"))
        issue_certificate(folder / "state", ["localhost"])

    return Fleet(cached("fleet", "1", build))


def runtime_image() -> Path:
    """Return the runtime image of this source tree, built once; zstd, because emulation makes xz slow."""
    sources = [*TREE.glob("leecher/**/*.py"), *TREE.glob("swarmboot/**/*.py"), *TREE.glob("seeder/hook/*.py")]
    sources += [HOOK / "runtime.toml"]
    packages = _versions("libc6", "libssl3", "python3-libtorrent")

    def build(folder: Path) -> None:
        folder.mkdir()
        out = str(folder / "runtime.squashfs")
        # as in a build that is to be reproducible: mksquashfs does not take that variable beside times that it is told
        run("env", "SOURCE_DATE_EPOCH=1", *SWARMBOOT, "hook", "build-runtime", "--out", out, "--compression", "zstd")

    return cached("runtime", fingerprint(sources, packages), build) / "runtime.squashfs"


def _versions(*packages: str) -> str:
    return run("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *packages)


@cache
def laid_out(*packages: str) -> Path:
    """Return a tree of Debian packages and of what they need and this machine lacks, unpacked and not installed."""
    said = run("apt-get", "install", "--simulate", "--no-install-recommends", *packages)
    wanted = [line.split()[1] for line in said.splitlines() if line.startswith("Inst ")]

    def build(folder: Path) -> None:
        (folder / "usr").mkdir(parents=True)
        if wanted:
            run("apt-get", "-o", "APT::Sandbox::User=root", "download", *wanted, folder=folder)
        for deb in sorted(folder.glob("*.deb")):
            run("dpkg", "-x", str(deb), str(folder))
            deb.unlink()
        for name in ("bin", "sbin", "lib"):
            if (folder / name).is_dir():
                run("cp", "-a", f"{folder / name}/.", str(folder / "usr" / name))

    return cached(f"laid-out.{'.'.join(packages)}", fingerprint((), said), build)


def initramfs(generator: str = "initramfs-tools", *, beside: Sequence[str] = (), flavour: str = CLOUD) -> Path:
    """Return a lean initramfs of the Debian kernel with this source tree's hook and the fleet's trust, built once.

    `beside` are Debian packages that its generator is to find although they are not installed.
    """
    kernel, runtime, trusted = debian_kernel(flavour), runtime_image(), fleet()
    sources = [path for path in HOOK.rglob("*") if path.is_file()]
    sources += [*TREE.glob("seeder/hook/*.py"), *TREE.glob("seeder/initramfs/*.py"), trusted.trust, trusted.authority]
    packages = _versions("initramfs-tools-core", "dracut-core", "dracut-network", "busybox", "kmod", "udev")

    def build(folder: Path) -> None:
        folder.mkdir()
        build_initramfs(
            folder / "initramfs.img", kernel=kernel, trust=trusted.trust, authority=trusted.authority,
            generator=generator, runtime=runtime, beside=laid_out(*beside) if beside else None,
            is_quick=generator == "dracut",  # only the other's is weighed
        )  # fmt: skip

    key = fingerprint(sources, packages, runtime.parent.name, kernel.version, "quick")
    return cached(_named(".".join(("initramfs", generator, *beside)), flavour), key, build) / "initramfs.img"


def build_initramfs(
    out: Path, *, kernel: Kernel, trust: Path, authority: Path, generator: str = "initramfs-tools", runtime: Path,
    beside: Path | None = None, defaults: Sequence[str] = (), is_lean: bool = True, is_quick: bool = False,
) -> Path:  # fmt: skip
    """Build an initramfs, lean or whole, with these keys, and settings as NAME=VALUE, baked in and return it."""
    flags = [flag for flag, is_given in (("--lean", is_lean), ("--quick", is_quick)) if is_given]
    run(
        *kernel.around(beside), *SWARMBOOT, "hook", "build-initramfs", *flags,
        "--kernel", kernel.version,
        "--out", str(out), "--generator", generator, "--runtime", str(runtime), "--trust", str(trust),
        "--ca", str(authority), *(word for default in defaults for word in ("--default", default)),
    )  # fmt: skip
    return out


@cache
def root() -> Path:
    """Return the sample's root image without what a machine in a test can do without, built once.

    Its kernel's modules, a third of it, are not of the kernel that is booted here.
    """
    whole = sample_release(say=print) / "rootfs.squashfs"

    def build(folder: Path) -> None:
        folder.mkdir()
        write_tree(folder / "tree")
        make_squashfs(folder / "tree", folder / "rootfs.squashfs")
        shutil.rmtree(folder / "tree")

    key = fingerprint([TREE / "tests/system/vm/roots.py"], hashlib.sha256(whole.read_bytes()).hexdigest())
    return cached("root", key, build) / "rootfs.squashfs"


def write_release(folder: Path, *, first: str = "", is_whole: bool = False) -> Path:
    """Make a release of a Debian root image, the sample's plugin, and one that says on the console what has booted.

    `first` are lines of shell that the booted system runs before that. The root is the sample's, whole or trimmed.
    """
    sample = sample_release(say=print)
    (folder / "plugins").mkdir(parents=True)
    (folder / "env").mkdir()
    (folder / "rootfs.squashfs").hardlink_to(sample / "rootfs.squashfs" if is_whole else root())
    (folder / "plugins" / "10-hello.squashfs").hardlink_to(sample / "plugins" / "10-hello.squashfs")
    (folder / "env" / "site.env").write_text('SITE=sample\nMOTTO="two words"\n')
    tree = folder.parent / f"{folder.name}-marker"
    write_marker(tree, first=first)
    run("mksquashfs", str(tree), str(folder / "plugins" / "20-marker.squashfs"), "-all-root", "-noappend", "-quiet")
    return folder


def write_marker(tree: Path, *, first: str = "") -> None:
    """Write the marker's program and unit into a folder, and mask what no test needs: emulation is dear."""
    units = tree / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    (tree / "usr/local/sbin").mkdir(parents=True)
    head, said = _MARKER.split("say root", 1)
    (tree / "usr/local/sbin/marker").write_text(f"{head}{first}say root{said}")
    (tree / "usr/local/sbin/marker").chmod(0o755)
    (units / "marker.service").write_text(_MARKER_UNIT)
    (units / "multi-user.target.wants/marker.service").symlink_to("../marker.service")
    for name in _MASKED:
        (units / name).symlink_to("/dev/null")


def publish(release: Path, *more: str, site: Path, keys: Path) -> None:
    """Publish a release with the key in `keys`, made now if there is none; `more` are further arguments."""
    if not keys.exists():
        run(*SWARMBOOT, "keygen", "--out", str(keys))
    run(*SWARMBOOT, "publish", str(release), "--site", str(site), "--key", str(keys / "swarmboot.key"), *more)


def base_initramfs(out: Path, *, kernel: Kernel) -> Path:
    """Build an initramfs without swarmboot and return it."""
    run(*kernel.around(), "mkinitramfs", "-o", str(out), kernel.version)
    return out
