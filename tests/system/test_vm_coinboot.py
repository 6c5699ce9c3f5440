"""A release laid out as Coinboot's publishes unchanged and boots: zstd cpio root, tar.gz plugins, environment files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netsim.demo.release import sample_release
from tests.system.vm import images
from tests.system.vm.lan import NAME, open_lan
from tests.system.vm.machine import booting
from tests.system.vm.programs import run

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.timeout(1800),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "mkinitramfs", "busybox", "mksquashfs", "debootstrap", "zstd"),
]

_PACK = "cd $0 && find . -print0 | cpio --null --create --format=newc --quiet | zstd -q -3 -T0 -o $1"


def write_release(folder: Path) -> Path:
    """Make the release out of the sample's root image, without what a machine in a test can do without."""
    tree = folder.parent / "tree"
    run("unsquashfs", "-quiet", "-no-progress", "-dest", str(tree), str(sample_release(say=print) / "rootfs.squashfs"))
    for left_out in ("usr/share/doc", "usr/share/zoneinfo", "usr/share/perl", "usr/lib/modules", "var/lib/dpkg"):
        run("rm", "-rf", str(tree / left_out))
    (folder / "plugins").mkdir(parents=True)
    (folder / "env").mkdir()
    run("sh", "-c", _PACK, str(tree), str(folder / "rootfs.cpio.zst"))
    plugin = folder.parent / "plugin"
    images.write_marker(plugin)
    (plugin / "etc").mkdir(exist_ok=True)
    (plugin / "etc/hello.conf").write_text('HELLO="booted by a rack"\n')
    (plugin / "lib/firmware").mkdir(parents=True)
    (plugin / "lib/firmware/tree").write_text("through the link\n")
    (plugin / "opt").mkdir()
    (plugin / "opt/tree").symlink_to("/usr/lib/firmware/tree")
    run("tar", "-C", str(plugin), "-czf", str(folder / "plugins/coinboot-marker_v1.tar.gz"), ".")
    (folder / "env" / "default.env").write_text("# as Coinboot writes it\nAPT_PROXY=http://10.99.0.1:3142\n")
    return folder


def test_a_coinboot_release_publishes_unchanged_and_boots(tmp_path: Path) -> None:
    kernel, keys = images.debian_kernel(), tmp_path / "keys"
    images.publish(write_release(tmp_path / "release"), site=tmp_path / "site", keys=keys)
    with open_lan(tmp_path) as lan:
        lan.serve(tmp_path / "site", state=tmp_path / "state")
        initramfs = images.build_initramfs(
            tmp_path / "initramfs.img", kernel=kernel, trust=keys / "swarmboot.pub",
            authority=tmp_path / "state/ca.pem", runtime=images.runtime_image(),
        )  # fmt: skip
        cmdline = f"swarmboot.server=https://{NAME}:8470"
        with booting(
            lan, "coinboot", kernel=kernel.image, initramfs=initramfs, cmdline=cmdline, memory="1280"
        ) as machine:
            machine.wait_for("marker: end of it", within_s=900)
            marks = machine.marks()
            assert marks["root"] == "overlay"
            assert marks["plugin"] == "booted by a rack"
            assert marks["tree"] == "through the link"
            assert marks["environment"] == "APT_PROXY=http://10.99.0.1:3142"
            assert marks["seed"] == "active"
            print("\ncoinboot:", json.loads(marks["report"])["phases"])
