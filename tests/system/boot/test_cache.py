"""A machine with a disk of its own keeps what it has booted, and fetches no image byte of it again (0060)."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.system.vm import images
from tests.system.vm.lan import NAME, open_lan
from tests.system.vm.machine import booting
from tests.system.vm.programs import PROMPT_S

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(1500),
    pytest.mark.needs(
        "qemu-system-x86_64", "dnsmasq", "mkinitramfs", "dracut", "mkfs.ext4", "mksquashfs", "mmdebstrap"
    ),
]

BOOT_S = 600.0
DISK_BYTES = 768 << 20
UPLINK = "20mbit"
"""Slower than an emulated disk, so that everything is left to the cache."""


def kept(disk: Path) -> set[str]:
    """Return the names in the cache on a disk, also while a machine has it mounted."""
    done = subprocess.run(("debugfs", "-R", "ls -p /images", str(disk)), capture_output=True, text=True, check=True)
    return {line.split("/")[5] for line in done.stdout.splitlines() if line.count("/") >= 6}


@pytest.mark.parametrize("generator", ["initramfs-tools", "dracut"])
def test_a_machine_keeps_what_it_boots_on_its_disk_and_fetches_no_byte_of_it_again(
    tmp_path: Path, generator: str
) -> None:
    fleet, kernel, site = images.fleet(), images.debian_kernel(), tmp_path / "site"
    release = images.write_release(tmp_path / "release")
    images.publish(release, site=site, keys=fleet.keys)
    initramfs = images.build_initramfs(
        tmp_path / "initramfs.img", kernel=kernel, trust=fleet.trust, authority=fleet.authority, generator=generator,
        runtime=images.runtime_image(), defaults=("cache=LABEL=swarmboot",),
    )  # fmt: skip
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(("mkfs.ext4", "-q", "-L", "swarmboot", str(disk)), check=True)
    files = [release / "rootfs.squashfs", *(release / "plugins").iterdir()]
    wanted = {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    drive = ("-drive", f"file={disk},if=virtio,format=raw")
    sources = []
    with open_lan(tmp_path) as lan:
        lan.seeders.append(lan.serve(site, state=fleet.state(tmp_path / "state"), uplink=UPLINK))
        cmdline = f"swarmboot.server=https://{NAME}:8470"
        for name in ("first", "second"):
            with booting(
                lan, name, kernel=kernel.image, initramfs=initramfs, cmdline=cmdline, memory="1024", more=drive
            ) as machine:
                machine.wait_for("marker: end of it", within_s=BOOT_S)
                machine.wait_for("login:", within_s=PROMPT_S)
                sources.append(json.loads(machine.marks()["report"])["bytes_from"])
                assert machine.marks()["root"] == "overlay"
                wait_until("the images on the disk", lambda: wanted <= kept(disk), within_s=BOOT_S, every_s=1.0)
    total = sum(file.stat().st_size for file in files)
    assert sources[0]["origin"] >= total
    assert sources[1] == {"cache": total, "neighbours": 0, "origin": 0}
    assert not any(name.endswith(".new") for name in kept(disk))
