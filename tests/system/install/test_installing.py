"""Ways to install swarmboot on a fresh Debian of each suite: pip in a venv, pipx, `make venv`, and the packages.

Each way ends with a release that is published, served and fetched by what has been installed.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.tree import TREE
from tests.system.install import test_deb
from tests.system.vm import images
from tests.system.vm.grounds import Chroot, fresh
from tests.system.vm.lan import NAME, open_lan
from tests.system.vm.machine import OWN_CLOCK, booting
from tests.system.vm.programs import PROMPT_S, run
from tests.system.vm.roots import write_tiny_root

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(3600),
    pytest.mark.needs("mmdebstrap", "busybox", "mksquashfs"),
]

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
BOOT_S = 900.0
END = "marker: end of it"
_AUTHORITIES = Path("/etc/ssl/certs")
_USE = """
rm /usr/local/bin/swarmboot
use() {
    rm -rf /tmp/use; mkdir /tmp/use; cd /tmp/use
    "$1" --version
    "$1" keygen --out keys
    "$1" publish /release --site site --key keys/swarmboot.key
    "$1" serve site --listen 127.0.0.1:0 --uplink 1gbit --state state >log 2>&1 &
    until address=$(grep -o '127[.]0[.]0[.]1:[1-9][0-9]*' log | head -n 1) && [ "$address" ]; do
        kill -0 $! || { cat log >&2; exit 1; }
        sleep 0.2
    done
    "$1" fetch --server "https://$address" --ca state/ca.pem --trust keys/swarmboot.pub --into images --no-discovery
    kill $!
    cmp images/rootfs.squashfs /release/rootfs.squashfs
}
"""
_BY_PIP = """
apt-get -q update
apt-get -qy install python3 python3-venv python3-libtorrent pipx make
export PIP_CERT=/authorities/ca-certificates.crt
mkdir /root/tree
cd /source
cp -R Makefile README.md LICENSE pyproject.toml constraints.txt .ci /root/tree
cp -R swarmboot seeder leecher netsim initramfs-hook /root/tree
python3 -m venv --system-site-packages /opt/swarmboot
/opt/swarmboot/bin/pip install --quiet /root/tree
use /opt/swarmboot/bin/swarmboot
pipx install --system-site-packages /root/tree
use /root/.local/bin/swarmboot
cd /root/tree
rm -rf build *.egg-info
make venv
use /root/tree/.venv/bin/swarmboot
"""
_PACKAGES = {"initramfs-tools": ("initramfs-tools",), "dracut": ("dracut", "dracut-network")}
_BY_PACKAGE = """
generator=$1
shift
apt-get -q update
apt-get -qy install linux-image-cloud-amd64 "$@" /debs/swarmboot_*.deb /debs/swarmboot-initramfs_*.deb
apt-get clean
[ ! -e /etc/systemd/system/multi-user.target.wants/swarmboot.service ]
use swarmboot
python3 -I -m swarmboot --version
swarmboot hook install "--$generator" --trust /root/fleet/keys/swarmboot.pub --ca /root/fleet/state/ca.pem
case $generator in
    initramfs-tools) update-initramfs -u ;;
    dracut) dracut --force --kver "$(ls /lib/modules)" ;;
esac
dpkg --verify swarmboot swarmboot-initramfs
"""
_AGAIN_AND_AWAY = """
made=$(stat -c %i /usr/lib/swarmboot/runtime.squashfs)
dpkg -i /debs/swarmboot_*.deb /debs/swarmboot-initramfs_*.deb
[ "$made" != "$(stat -c %i /usr/lib/swarmboot/runtime.squashfs)" ]
apt-get -qy purge swarmboot swarmboot-initramfs
find /usr /etc /var -name '*swarmboot*' ! -path '/var/log/*' ! -path '/var/lib/apt/*'
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    for name in ("release", "root"):
        (tmp_path / name).mkdir()
    write_tiny_root(tmp_path / "release/rootfs.squashfs", work=tmp_path / "root", padding_bytes=300_000)
    return tmp_path / "release"


@pytest.mark.parametrize("suite", ["bookworm", "trixie", "sid"])
def test_pip_pipx_and_make_venv_install_what_works(suite: str, release: Path) -> None:
    binds = {"source": TREE, "authorities": _AUTHORITIES, "release": release}
    Chroot((fresh(suite) / "tree",)).run("sh", "-euc", _USE + _BY_PIP, binds=binds)


@pytest.mark.parametrize("python", PYTHONS)
def test_the_pinned_dependencies_are_wheels_for_every_python(python: str, tmp_path: Path) -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    needed = [Requirement(text) for text in project["dependencies"]]
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    wanted = [f"{each.name}{_extras(each)}" for each in needed if not each.marker or each.marker.evaluate(here)]
    run(
        sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--dry-run",
        "--ignore-installed", "--target", str(tmp_path), "--only-binary=:all:", "--python-version", python,
        "--constraint", str(TREE / "constraints.txt"), *wanted,
    )  # fmt: skip


def _extras(requirement: Requirement) -> str:
    return f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""


@pytest.mark.vm
@pytest.mark.needs("qemu-system-x86_64", "dnsmasq")
@pytest.mark.parametrize("generator", _PACKAGES)
@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_a_node_boots_by_what_the_packages_have_made(suite: str, generator: str, release: Path, tmp_path: Path) -> None:
    test_deb.build(tmp_path / "debs", umask="022")
    fleet, upper, chroot = images.fleet(), tmp_path / "upper", Chroot((fresh(suite) / "tree",))
    binds = {"debs": tmp_path / "debs", "root/fleet": fleet.folder, "release": release}
    chroot.run("sh", "-euc", _USE + _BY_PACKAGE, "sh", generator, *_PACKAGES[generator], into=upper, binds=binds)
    (initramfs,), (kernel,) = upper.glob("boot/initrd.img-*"), upper.glob("boot/vmlinuz-*")
    images.publish(images.write_release(tmp_path / "full"), site=tmp_path / "site", keys=fleet.keys)
    with open_lan(tmp_path / "lan") as lan:
        lan.serve(tmp_path / "site", state=fleet.state(tmp_path / "state"))
        cmdline = f"swarmboot.server=https://{NAME}:8470"
        with booting(
            lan, "node", kernel=kernel, initramfs=initramfs, cmdline=cmdline, memory="1024", more=OWN_CLOCK
        ) as machine:
            machine.wait_for(END, within_s=BOOT_S)
            machine.wait_for("login:", within_s=PROMPT_S)
            assert machine.marks()["seed"] == "active"
    left = chroot.on_top(upper).run("sh", "-euc", _AGAIN_AND_AWAY, binds=binds).splitlines()
    assert not [line for line in left if line.startswith("/") and "swarmboot" in line]
