"""Storage mounted for real: the driver on a disk with a label, in a mount namespace of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.shells import drive

pytestmark = [pytest.mark.root, pytest.mark.needs("mkfs.ext4", "losetup")]
CONTAINED = ("unshare", "--mount", "--propagation", "private", "--", "dash")


@contextmanager
def disk(folder: Path, *, is_made: bool = True) -> Iterator[None]:
    """Attach a disk that udev would have found by the label data; with nothing on it unless it is made."""
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    if is_made:
        subprocess.run(("mkfs.ext4", "-q", "-L", "data", str(image)), check=True)
    device = subprocess.run(
        ("losetup", "--find", "--show", str(image)), capture_output=True, text=True, check=True
    ).stdout
    (folder / "disks/by-label").mkdir(parents=True)
    (folder / "disks/by-label/data").symlink_to(device.strip())
    try:
        yield
    finally:
        subprocess.run(("losetup", "--detach", device.strip()), check=True)


def mounted(folder: Path, look: str, *, missing: str = "continue") -> tuple[int, str, str]:
    """Mount the storage of a plan as the driver does; return its status, what `look` says after it, and the console."""
    (folder / "handover").mkdir(exist_ok=True)
    (folder / "root").mkdir(exist_ok=True)
    (folder / "handover/plan").write_text(f"storage ext4 LABEL=data /srv {missing} nosuid,nodev\n")
    call = f"""
        swarmboot_has_leecher() {{ return 1; }}
        swarmboot_patience=0 swarmboot_disks={folder}/disks swarmboot_without_storage={folder}/without
        swarmboot_mount_storage {folder}/root; status=$?
        {look}
        exit $status
    """
    status, said = drive(CONTAINED, folder, call)
    return status, said, (folder / "console").read_text()


def test_what_one_boot_writes_the_next_one_finds_and_no_setuid_program_of_it_is_obeyed(tmp_path: Path) -> None:
    options = f"awk '$2 == \"{tmp_path}/root/srv\" {{print $3, $4}}' /proc/mounts"
    with disk(tmp_path):
        status, said, console = mounted(tmp_path, f"{options}; echo kept >{tmp_path}/root/srv/file")
        assert (status, console) == (0, "swarmboot: storage LABEL=data is mounted on /srv\n")
        assert said.startswith("ext4 rw,nosuid,nodev")
        assert mounted(tmp_path, f"cat {tmp_path}/root/srv/file")[1] == "kept\n"
    assert list((tmp_path / "root/srv").iterdir()) == [], "seen in the namespace alone"


@pytest.mark.parametrize(("missing", "status"), [("continue", 0), ("stop", 1)])
def test_a_disk_without_a_file_system_is_left_as_it_is(tmp_path: Path, missing: str, status: int) -> None:
    with disk(tmp_path, is_made=False):
        found, said, console = mounted(tmp_path, "", missing=missing)
        assert (found, said) == (status, "")
        assert "it cannot be mounted as ext4: mount: " in console
    assert not (tmp_path / "disk.img").read_bytes().strip(b"\0")


def test_the_console_says_how_to_boot_once_without_and_that_is_how(tmp_path: Path) -> None:
    with disk(tmp_path, is_made=False):
        found, _, console = mounted(tmp_path, "", missing="stop")
        assert found == 1
        command = console.partition("; to boot once without: ")[2].partition(",")[0]
        assert subprocess.run(("dash", "-c", command), check=False).returncode == 0
        assert mounted(tmp_path, "", missing="stop")[0] == 0
