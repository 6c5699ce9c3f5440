"""Compressed swap made for real, by the driver on this machine's kernel: of 16 MiB, and gone again at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shells import SHELLS, drive

CONTROL = Path("/sys/class/zram-control")
SWAPS = Path("/proc/swaps")
pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("mkswap", "swapon", "swapoff", "busybox"),
    pytest.mark.skipif(not (CONTROL / "hot_add").exists(), reason="this kernel has no zram, or no module of it loaded"),
    pytest.mark.skipif(
        not SWAPS.exists() or "/dev/zram" in SWAPS.read_text(),
        reason="this machine swaps to zram itself, or not at all",
    ),
]
BUSYBOX = 'mkswap() { busybox mkswap "$@"; }; swapon() { busybox swapon "$@"; }'


@pytest.mark.parametrize("programs", ["", BUSYBOX], ids=["util-linux", "busybox"])
def test_the_machine_swaps_to_a_device_of_its_own_once_and_lets_go_of_it(tmp_path: Path, programs: str) -> None:
    call = f"""
        {programs}
        trap 'swapoff "/dev/zram$swarmboot_number"; echo "$swarmboot_number" >{CONTROL}/hot_remove' EXIT
        swarmboot_add_swap
        swarmboot_add_swap
        cat {SWAPS} "/sys/block/zram$swarmboot_number/disksize" "/sys/block/zram$swarmboot_number/comp_algorithm"
    """
    status, said = drive(SHELLS[0], tmp_path, call, cmdline="swarmboot.zram=16MiB")
    console = (tmp_path / "console").read_text()
    assert status == 0, said + console
    assert console.count("swap of 16 MiB in RAM, compressed by ") == 1
    assert said.count("/dev/zram") == 1
    assert f"\n{16 << 20}\n" in said
    assert f"[{console.split()[-1]}]" in said
    assert "/dev/zram" not in SWAPS.read_text()
