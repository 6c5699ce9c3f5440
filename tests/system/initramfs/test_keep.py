"""What a machine has booted is kept on a real disk's file system, by nobody, where nobody else sees it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from leecher.boot import hand_off
from seeder.hook.files import hook_folder
from swarmboot.errors import ResourceError
from swarmboot.ids import Digest
from swarmboot.release import manifest as manifests
from tests.support.builders import build_artifact, build_bytes, build_manifest
from tests.support.tree import TREE
from tests.support.waiting import wait_until
from tests.system.install.systemd import systemd_running

pytestmark = [pytest.mark.root, pytest.mark.needs("mkfs.ext4", "losetup", "debugfs")]

DATA = build_bytes(1_000_000)
DIGEST = hashlib.sha256(DATA)
_KEEP = """
import sys
from pathlib import Path
from leecher.initramfs import __main__ as initramfs, keep
initramfs.STATE = Path(sys.argv[1])
keep.main()
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """What a boot of one image has left behind."""
    root = build_artifact(size_bytes=len(DATA), sha256=Digest(DIGEST.digest()))
    (tmp_path / "images").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "images" / root.name).write_bytes(DATA)
    image = hand_off.Image(root.role.value, root.format, root.name)
    handed = hand_off.HandOff(str(tmp_path / "images"), (image,), {}, (), "50%", is_seeding=True)
    hand_off.write(handed, tmp_path / hand_off.FOLDER)
    (tmp_path / hand_off.FOLDER / hand_off.KEEP).write_bytes(
        manifests.encode(replace(build_manifest(), artifacts=(root,)))
    )
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    return tmp_path


@pytest.fixture
def disk(state: Path) -> Iterator[Path]:
    """A disk with a file system that is labelled for a cache."""
    path = state / "disk"
    with path.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(("mkfs.ext4", "-q", "-L", "swarmboot", str(path)), check=True)
    device = subprocess.run(("losetup", "-f", "--show", str(path)), capture_output=True, text=True, check=True).stdout
    (state / hand_off.FOLDER / hand_off.CACHE).write_text(device)
    yield path
    subprocess.run(("losetup", "-d", device.strip()), check=True)


def keep(state: Path) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-c", _KEEP, str(state))
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def debugfs(disk: Path, request: str) -> str:
    return subprocess.run(("debugfs", "-R", request, str(disk)), capture_output=True, text=True, check=True).stdout


def test_images_are_kept_on_a_disk_by_nobody_and_the_mount_ends_with_who_made_it(state: Path, disk: Path) -> None:
    done = keep(state)
    assert (done.returncode, done.stderr) == (0, "swarmboot: 976.6 KiB written to the cache\n")
    assert list((state / "cache").iterdir()) == []
    copy = state / "copy"
    debugfs(disk, f"dump /images/{DIGEST.hexdigest()} {copy}")
    assert copy.read_bytes() == DATA
    assert "User: 65534" in debugfs(disk, f"stat /images/{DIGEST.hexdigest()}")
    assert keep(state).stderr == "swarmboot: the cache has it all\n"


def test_a_disk_on_which_the_folder_of_images_is_a_link_is_left_alone(state: Path, disk: Path) -> None:
    outside = state / "outside"
    outside.mkdir()
    subprocess.run(("debugfs", "-w", "-R", f"symlink images {outside}", str(disk)), capture_output=True, check=True)
    done = keep(state)
    assert done.returncode == ResourceError.exit_status
    assert "the cache cannot be written" in done.stderr
    assert list(outside.iterdir()) == []
    assert outside.stat().st_uid == os.geteuid()


def test_a_disk_without_a_file_system_costs_a_line(state: Path, disk: Path) -> None:
    disk.write_bytes(bytes(32 << 20))
    done = keep(state)
    assert done.returncode == ResourceError.exit_status
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be mounted for writing" in done.stderr


_UNIT = "swarmboot-keep.service"
_OURS = f"""[Service]
ProtectHome=no
Environment=PYTHONPATH={TREE}
ExecStart=
ExecStart={sys.executable} -m leecher.initramfs.keep
"""


@pytest.mark.needs("/usr/lib/systemd/systemd")
def test_the_service_may_do_what_keeping_takes(state: Path, disk: Path) -> None:
    device = (state / hand_off.FOLDER / hand_off.CACHE).read_text().strip()
    files = {
        f"etc/systemd/system/{_UNIT}": (hook_folder() / "keep.service").read_text(),
        f"etc/systemd/system/{_UNIT}.d/ours.conf": _OURS,
    }
    with systemd_running(state, files) as container:
        number = device.removeprefix("/dev/loop")
        container.run(
            "sh", "-euc",
            f"mknod {device} b 7 {number}; mkdir -p /run/swarmboot; mount --bind {state} /run/swarmboot; "
            "mkdir -p /run/swarmboot/runtime; mount --bind / /run/swarmboot/runtime",
        )  # fmt: skip
        container.start(_UNIT)
        wait_until("its end", lambda: container.shown(_UNIT, "SubState") in ("dead", "failed"), every_s=0.1)
        said = container.journal(_UNIT)
    assert "976.6 KiB written to the cache" in said, said
    assert f"{DIGEST.hexdigest()}" in debugfs(disk, "ls -p /images")
