"""A machine goes on before all of its root is there, and its root stands on memory alone in the end (0056)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.system.vm import images
from tests.system.vm.lazy import lazy_machine, padded_release
from tests.system.vm.programs import PROMPT_S

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(1200),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "mkinitramfs", "dracut", "busybox", "mksquashfs", "mmdebstrap"),
]

BOOT_S = 500.0
UPLINK = "10mbit"
"""So scarce that a boot is over long before its root image is there."""


SCARCE = "1mbit"
"""So scarce that the image is not there when all else is over."""
HOGGED_BYTES = 100_000_000
"""So much that at 2 Mbit/s a busy machine is up, and its hogs have been, before all is there."""
# Each in a unit of its own: systemd ends all of a unit of which the kernel has killed one (OOMPolicy=). What fallocate
# takes is not cleared: emulation needs up to half a minute for clearing one page that held code.
HOGS = """
grep -qs '"exchange_ms": null' /run/swarmboot/images/lazy.json && say window open
mkdir /run/hogs && mount -t tmpfs -o size=2g none /run/hogs
for hog in 1 2 3; do systemd-run --quiet --wait -p OOMScoreAdjust=1000 fallocate --length 1G /run/hogs/hog; done
say hogs "$(grep -qs '"exchange_ms": null' /run/swarmboot/images/lazy.json && echo open || echo over)"
"""


@pytest.mark.parametrize("generator", ["initramfs-tools", "dracut"])
def test_a_machine_boots_from_a_root_that_still_arrives_and_keeps_it_when_all_is_there(
    tmp_path: Path, generator: str
) -> None:
    release = images.write_release(tmp_path / "release", is_whole=True)
    with lazy_machine(tmp_path, release, uplink=UPLINK, generator=generator) as machine:
        machine.wait_for("the root is ready after .* the rest of it arrives", within_s=BOOT_S)
        machine.wait_for("all is there; its files took the place", within_s=BOOT_S)
        machine.wait_for("marker: end of it", within_s=BOOT_S)
        machine.wait_for("login:", within_s=PROMPT_S)
        marks = machine.marks()
    assert marks["root"] == "overlay"
    assert marks["plugin"] == "booted by a rack"
    assert marks["fuse"] == ""
    assert marks["image"] == hashlib.sha256((release / "rootfs.squashfs").read_bytes()).hexdigest()
    assert json.loads(marks["report"])["outcome"] == "images verified"


@pytest.mark.parametrize(("action", "said"), [("reboot", "Restarting system"), ("poweroff", "Power down")])
def test_a_machine_reboots_and_shuts_down_while_its_root_still_arrives(tmp_path: Path, action: str, said: str) -> None:
    release = images.write_release(tmp_path / "release", is_whole=True)
    cmdline = f"systemd.run=/bin/true systemd.run_success_action={action}"
    with lazy_machine(tmp_path, release, uplink=SCARCE, cmdline=cmdline) as machine:
        machine.wait_for("the root is ready after .* the rest of it arrives", within_s=BOOT_S)
        machine.wait_for(said, within_s=BOOT_S)
        assert "all is there" not in machine.console
        wait_until("the machine's end", lambda: machine.process.poll() is not None, within_s=60)


def test_memory_hogs_in_the_window_are_killed_and_the_root_goes_on_arriving(tmp_path: Path) -> None:
    release = padded_release(tmp_path / "release", HOGGED_BYTES, first=HOGS)
    with lazy_machine(tmp_path, release, uplink="2mbit", memory="512") as machine:
        machine.wait_for("marker: hogs", within_s=BOOT_S)
        machine.wait_for("all is there; its files took the place", within_s=BOOT_S)
        machine.wait_for("marker: end of it", within_s=BOOT_S)
        marks, console = machine.marks(), machine.console
    assert marks["window"] == "open", "all was there before the hogs began"
    assert "Out of memory: Killed process" in console
    assert "the server of reads failed" not in console
    assert marks["image"] == hashlib.sha256((release / "rootfs.squashfs").read_bytes()).hexdigest()
