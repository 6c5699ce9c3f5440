"""A full disk: said with numbers before copying, survived while copying, and nothing half-written left."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seeder.publish.publish import PublishOptions, publish
from seeder.publish.release_dir import read_release
from seeder.site.writer import writing
from swarmboot import errors
from swarmboot.release import key_files
from tests.support.builders import build_bytes, build_release
from tests.support.commands import run

pytestmark = pytest.mark.root

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class Filler:
    """Shows no progress, but fills the disk once a file has begun to be copied."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk

    @contextlib.contextmanager
    def task(self, label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """Fill the disk at the first chunk."""
        del label, total_bytes
        yield lambda _done_bytes: self._fill()

    def _fill(self) -> None:
        with (self._disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))


def test_a_release_too_large_for_the_disk_is_refused_with_both_sizes(tmp_path: Path, disk: Path) -> None:
    private, public = key_files.write_pair(tmp_path / "keys")
    site = disk / "site"
    small = build_release(tmp_path / "small", size_bytes=MIB)
    assert run("publish", "--force", small, "--site", site, "--key", private).status == 0
    large = build_release(tmp_path / "large", size_bytes=16 * MIB)
    done = run("publish", "--force", large, "--site", site, "--key", private)
    assert done.status == errors.SpaceError.exit_status
    free = shutil.disk_usage(disk).free
    assert f"{site} has too little room: expected 17.0 MiB free, found {free / MIB:.1f} MiB" in done.line
    assert list((site / ".incoming").iterdir()) == []
    assert len(list((site / "blobs").iterdir())) == 2, "the image before and the list of its chunks"
    assert run("verify", site, "--trust", public).status == 0


def test_a_disk_that_fills_while_copying_leaves_the_release_before(tmp_path: Path, disk: Path) -> None:
    private, public = key_files.write_pair(tmp_path / "keys")
    site = disk / "site"
    small = build_release(tmp_path / "small", size_bytes=MIB)
    assert run("publish", "--force", small, "--site", site, "--key", private).status == 0
    large = read_release(build_release(tmp_path / "large", size_bytes=4 * MIB, seed=1))
    keys = [key_files.read_private(private)]
    with pytest.raises(errors.SpaceError, match="has too little room"), writing(site) as writer:
        publish(large, keys, writer=writer, options=PublishOptions(), now_unix_s=1e9, progress=Filler(disk))
    assert list((site / ".incoming").iterdir()) == []
    assert len(list((site / "blobs").iterdir())) == 2, "the image before and the list of its chunks"
    assert run("verify", site, "--trust", public).status == 0
    (disk / "filler").unlink()
    assert run("publish", "--force", large.folder, "--site", site, "--key", private).status == 0


def test_a_disk_without_room_for_a_folder_is_called_full(tmp_path: Path, disk: Path) -> None:
    private, _ = key_files.write_pair(tmp_path / "keys")
    subprocess.run(["mount", "-o", "remount,nr_inodes=4", str(disk)], check=True)
    release = build_release(tmp_path / "release", files={"env/a.env": build_bytes(0)})
    done = run("publish", "--force", release, "--site", disk / "site", "--key", private)
    assert done.status == errors.SpaceError.exit_status
