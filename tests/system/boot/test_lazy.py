"""A machine goes on before all of its root is there, and its root stands on memory alone in the end (0056)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.system.vm import images
from tests.system.vm.lan import NAME, open_lan
from tests.system.vm.machine import booting
from tests.system.vm.programs import PROMPT_S

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(1200),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "mkinitramfs", "dracut", "busybox", "mksquashfs", "debootstrap"),
]

BOOT_S = 500.0
UPLINK = "10mbit"
"""So scarce that a boot is over long before its root image is there."""


@pytest.mark.parametrize("generator", ["initramfs-tools", "dracut"])
def test_a_machine_boots_from_a_root_that_still_arrives_and_keeps_it_when_all_is_there(
    tmp_path: Path, generator: str
) -> None:
    fleet, kernel, site = images.fleet(), images.debian_kernel(), tmp_path / "site"
    release = images.write_release(tmp_path / "release")
    images.publish(release, site=site, keys=fleet.keys)
    initramfs = images.build_initramfs(
        tmp_path / "initramfs.img", kernel=kernel, trust=fleet.trust, authority=fleet.authority, generator=generator,
        runtime=images.runtime_image(), defaults=("lazy=on",),
    )  # fmt: skip
    with open_lan(tmp_path) as lan:
        lan.seeders.append(lan.serve(site, state=fleet.state(tmp_path / "state"), uplink=UPLINK))
        cmdline = f"swarmboot.server=https://{NAME}:8470"
        with booting(lan, "lazy", kernel=kernel.image, initramfs=initramfs, cmdline=cmdline, memory="1024") as machine:
            machine.wait_for("the root is ready after .* the rest of it arrives", within_s=BOOT_S)
            machine.wait_for("all is there; its files took the place", within_s=BOOT_S)
            machine.wait_for("marker: end of it", within_s=BOOT_S)
            machine.wait_for("login:", within_s=PROMPT_S)
            marks = machine.marks()
    assert marks["root"] == "overlay"
    assert marks["plugin"] == "booted by a rack"
    assert marks["fuse"] == ""
    if "image" in marks:
        assert marks["image"] == hashlib.sha256((release / "rootfs.squashfs").read_bytes()).hexdigest()
    assert json.loads(marks["report"])["outcome"] == "images verified"
