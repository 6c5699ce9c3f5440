"""Which disk is taken for a cache, and that none of its faults is one of the boot's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shells import drive, plant


@pytest.mark.parametrize(
    ("cmdline", "device"),
    [
        ("swarmboot.cache=LABEL=my-cache", "/dev/disk/by-label/my-cache\n"),
        ("swarmboot.cache=UUID=0123-abcd", "/dev/disk/by-uuid/0123-abcd\n"),
        ("swarmboot.cache=/dev/vdb1", "/dev/vdb1\n"),
        ("swarmboot.cache=off", ""),
        ("swarmboot.cache=No", ""),
        ("swarmboot.cache=LABEL=../../etc", ""),
        ("", ""),
    ],
)
def test_the_device_is_the_one_that_is_named(shell: tuple[str, ...], tmp_path: Path, cmdline: str, device: str) -> None:
    assert drive(shell, tmp_path, "swarmboot_cache_device", cmdline=cmdline) == (0, device)


def test_without_a_word_a_disk_that_is_labelled_for_it_is_taken(shell: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "by-label").mkdir()
    call = f"swarmboot_disks={tmp_path}; swarmboot_cache_device"
    (tmp_path / "by-label/swarmboot").write_text("no device")
    assert drive(shell, tmp_path, call) == (0, "")
    (tmp_path / "by-label/swarmboot").unlink()
    (tmp_path / "by-label/swarmboot").symlink_to("/dev/loop-control")  # no block device either
    assert drive(shell, tmp_path, call) == (0, "")


@pytest.mark.parametrize("is_mounted", [True, False])
def test_a_cache_is_mounted_so_that_nothing_is_written_or_run_and_its_faults_cost_a_line(
    shell: tuple[str, ...], tmp_path: Path, is_mounted: bool
) -> None:
    (tmp_path / "handover").mkdir()
    (tmp_path / "handover/cache").write_text("/dev/of-an-earlier-try\n")
    call = f"""
        modprobe() {{ :; }}; umount() {{ echo "umount $*"; }}
        mount() {{ echo "mount $*"; {"return 0" if is_mounted else "return 32"}; }}
        swarmboot_mount_cache && swarmboot_unmount_cache
    """
    status, said = drive(shell, tmp_path, call, cmdline="swarmboot.cache=/dev/vdb1")
    where = f"{tmp_path}/runtime{tmp_path}/cache"
    mounted = f"mount -t ext4 -o ro,noload,errors=continue,nosuid,nodev,noexec /dev/vdb1 {where}\n"
    assert (status, said) == (0, mounted + (f"umount -l {where}\n" if is_mounted else ""))
    assert (tmp_path / "handover/cache").exists() is is_mounted
    lines = (tmp_path / "console").read_text().splitlines()
    assert lines == (
        [] if is_mounted else ["swarmboot: the cache on /dev/vdb1 cannot be mounted as ext4: booting without it"]
    )


def test_a_machine_without_a_cache_hears_nothing_of_it(shell: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "handover").mkdir()
    call = f"swarmboot_disks={tmp_path}; swarmboot_mount_cache && swarmboot_unmount_cache && swarmboot_keep_images /x"
    assert drive(shell, tmp_path, call) == (0, "")
    assert (tmp_path / "console").read_text() == ""
    root = plant(tmp_path / "root", {"usr/lib/systemd/systemd": "755"}, {})
    assert drive(shell, tmp_path, f"cp() {{ echo cp; }}; swarmboot_keep_images {root}") == (0, "")
