"""Compressed swap on a machine of 512 MB: its root takes more than there is memory for, and loses nothing."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.system.vm import images
from tests.system.vm.lan import NAME, open_lan
from tests.system.vm.machine import booting

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(2400),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "mkinitramfs", "dracut", "mksquashfs", "mmdebstrap"),
]

BOOT_S = 600.0
MEMORY = "512"
OF_THE_ROOT, OF_THE_SYSTEM = "280M", "170M"
CMDLINE = f"swarmboot.server=https://{NAME}:8470 swarmboot.overlay=480M swarmboot.zram="
LINES = "yes 'what a system writes into its own log, a line like the one before it' | head -c"
SAY = f"""
say swaps "$(awk 'NR > 1 {{print $1, $3}}' /proc/swaps)"
{LINES} {OF_THE_SYSTEM} >/var/lines
say kept "$({LINES} {OF_THE_SYSTEM} | cmp - /var/lines && {LINES} {OF_THE_ROOT} | cmp - /opt/lines && echo all)"
say swapped "$(awk 'NR > 1 {{print $4}}' /proc/swaps) KiB, in $(awk '{{print $3}}' /sys/block/zram1/mm_stat) bytes"
"""


def published(work: Path) -> Path:
    """Publish a release with a plugin that is unpacked into most of a small machine's memory, and return its site."""
    release = images.write_release(work / "release", first=SAY, is_whole=True)
    (work / "tree/opt").mkdir(parents=True)
    with (work / "tree/opt/lines").open("wb") as lines:
        subprocess.run(f"{LINES} {OF_THE_ROOT}", shell=True, stdout=lines, check=True)
    plugin = str(release / "plugins/30-lines.tar.gz")
    subprocess.run(("tar", "-C", str(work / "tree"), "--owner=0", "--group=0", "-czf", plugin, "opt"), check=True)
    images.publish(release, site=work / "site", keys=images.fleet().keys)
    return work / "site"


@pytest.mark.parametrize("generator", ["initramfs-tools", "dracut"])
def test_a_small_machine_with_compressed_swap_boots_what_it_refuses_without(tmp_path: Path, generator: str) -> None:
    fleet, kernel = images.fleet(), images.debian_kernel()
    image = images.build_initramfs(
        tmp_path / "initramfs.img", kernel=kernel, trust=fleet.trust, authority=fleet.authority,
        generator=generator, runtime=images.runtime_image(), defaults=("zram=25%",),
    )  # fmt: skip
    site = published(tmp_path)
    with open_lan(tmp_path) as lan:
        lan.seeders.append(lan.serve(site, state=fleet.state(tmp_path / "state")))
        power_on = partial(booting, lan, kernel=kernel.image, initramfs=image, memory=MEMORY)
        with power_on("with", cmdline=f"{CMDLINE}50%") as machine:
            with power_on("without", cmdline=f"{CMDLINE}off") as other:
                other.wait_for("this node has too little RAM for the images", within_s=BOOT_S)
                assert "swap of" not in other.console
            machine.wait_for("swap of 2[0-9][0-9] MiB in RAM, compressed by zstd", within_s=BOOT_S)
            machine.wait_for("marker: end of it", within_s=BOOT_S)
            marks = machine.marks()
            print(f"\n{generator}: {marks['swaps']}; {marks['swapped']}")
            device, kib = marks["swaps"].split()
            assert device == "/dev/zram1"
            assert 200 << 10 < int(kib) < 256 << 10
            assert marks["kept"] == "all"
            assert int(marks["swapped"].split()[0]) > 20 << 10
            assert marks["seed"] == "active"
