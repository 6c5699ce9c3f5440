"""A fetch writes beside the images that are there: whoever is killed has the old one whole, and links lead nowhere."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from swarmboot.errors import ResourceError, SpaceError
from tests.support.loopback import Fleet, asking, booting, build_fleet, build_release, serving
from tests.support.relay import throttled
from tests.support.waiting import wait_until

IMAGE = "rootfs.squashfs"
SIZE_BYTES = 3_000_000


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return build_release(tmp_path / "release", size_bytes=SIZE_BYTES, plugins=0)


@pytest.fixture
def fleet(tmp_path: Path, release: Path) -> Fleet:
    (release / "plugins").rmdir()
    return build_fleet(tmp_path / "fleet", release)


def renew(release: Path, *, size_bytes: int = SIZE_BYTES) -> tuple[bytes, bytes]:
    """Change the second half of a release's image; return the old image and the new one."""
    image = release / IMAGE
    old = image.read_bytes()
    half = SIZE_BYTES // 2
    new = old[:half] + Random(size_bytes).randbytes(size_bytes - half)
    image.unlink()
    image.write_bytes(new)
    return old, new


def is_under_way(partial: Path) -> bool:
    """Return whether a partial file holds more than what could be copied."""
    return partial.stat().st_size > SIZE_BYTES // 2


def fetch(folder: Path, fleet: Fleet, *more: str) -> tuple[int, str, dict[str, int]]:
    """Fetch into node1; return the exit status, what was said and where the bytes came from."""
    with serving(fleet) as seeder, booting(folder, 1, *asking(seeder, fleet), *more) as node:
        node.report_path.unlink(missing_ok=True)
        status, said = node.end()
        return status, said, node.report()["bytes_from"] if status == 0 else {}


@pytest.mark.parametrize("size_bytes", [SIZE_BYTES, SIZE_BYTES - 300_000])
def test_who_is_killed_in_the_middle_has_the_old_image_whole_and_a_later_run_goes_on(
    tmp_path: Path, fleet: Fleet, release: Path, size_bytes: int
) -> None:
    assert fetch(tmp_path, fleet)[0] == 0
    old, new = renew(release, size_bytes=size_bytes)
    fleet.publish(release)
    image = tmp_path / "node1" / IMAGE
    with (
        serving(fleet) as near,
        throttled(near, 1e6, most_bytes=size_bytes / 4) as seeder,
        booting(tmp_path, 1, *asking(seeder, fleet)) as node,
    ):
        partials = tmp_path / "node1" / ".partial"
        wait_until("an image under way", lambda: any(map(is_under_way, partials.glob("*"))), process=node.process)
        node.process.kill()
        node.end()
    assert image.read_bytes() == old
    status, said, sources = fetch(tmp_path, fleet)
    assert status == 0, said
    assert image.read_bytes() == new
    assert sources["origin"] < 0.6 * size_bytes
    assert [path.name for path in (tmp_path / "node1").iterdir()] == [IMAGE]


def test_pieces_that_are_alike_are_not_fetched_again_and_a_whole_image_not_at_all(
    tmp_path: Path, fleet: Fleet, release: Path
) -> None:
    assert fetch(tmp_path, fleet)[2]["origin"] >= SIZE_BYTES
    assert fetch(tmp_path, fleet)[2]["origin"] == 0
    renew(release)
    fleet.publish(release)
    assert 0.4 * SIZE_BYTES < fetch(tmp_path, fleet)[2]["origin"] < 0.6 * SIZE_BYTES


def test_partial_files_of_a_release_that_is_gone_are_removed(tmp_path: Path, fleet: Fleet) -> None:
    partial = tmp_path / "node1/.partial"
    partial.mkdir(parents=True)
    (partial / ("0" * 64)).write_bytes(b"x" * 1000)
    assert fetch(tmp_path, fleet)[0] == 0
    assert [path.name for path in (tmp_path / "node1").iterdir()] == [IMAGE]


@pytest.mark.parametrize("where", [IMAGE, ".partial", ".partial/{digest}"])
def test_no_link_in_the_folder_is_followed(tmp_path: Path, fleet: Fleet, release: Path, where: str) -> None:
    wanted = (release / IMAGE).read_bytes()
    link = tmp_path / "node1" / where.format(digest=hashlib.sha256(wanted).hexdigest())
    link.parent.mkdir(parents=True)
    outside = tmp_path / "outside"
    if where == ".partial":
        outside.mkdir()
    else:
        outside.write_bytes(b"dated image")
    link.symlink_to(outside)
    status, said, _ = fetch(tmp_path, fleet)
    assert status == 0, said
    image = tmp_path / "node1" / IMAGE
    assert image.read_bytes() == wanted
    assert not image.is_symlink()
    assert list(outside.iterdir()) == [] if outside.is_dir() else outside.read_bytes() == b"dated image"


@pytest.mark.root
def test_a_folder_for_partial_files_that_is_anothers_is_refused(tmp_path: Path, fleet: Fleet) -> None:
    partial = tmp_path / "node1/.partial"
    partial.mkdir(parents=True)
    subprocess.run(("chown", "nobody", str(partial)), check=True)
    status, said, _ = fetch(tmp_path, fleet)
    assert (status, f"{partial} is not this user's folder" in said) == (ResourceError.exit_status, True), said


@pytest.fixture
def tight(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs with room for one image and a half."""
    folder = tmp_path / "node1"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES * 3 // 2}", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.root
def test_without_room_beside_the_old_image_it_stays_and_that_is_said_before_the_download(
    tmp_path: Path, fleet: Fleet, release: Path, tight: Path
) -> None:
    assert fetch(tmp_path, fleet)[0] == 0
    old, _ = renew(release)
    fleet.publish(release)
    status, said, _ = fetch(tmp_path, fleet)
    assert (status, "too small" in said) == (SpaceError.exit_status, True), said
    assert (tight / IMAGE).read_bytes() == old


_INITRAMFS = """
import sys, time
from leecher.boot.options import BootOptions
from leecher.boot.start import boot
from swarmboot.settings import build_settings
settings = build_settings(dict(word.split("=", 1) for word in sys.argv[1:]))
boot(BootOptions(settings, time.monotonic(), is_unpacked=True))
"""


@pytest.mark.root
def test_in_an_initramfs_an_older_image_takes_no_memory_beside_the_new_one(
    tmp_path: Path, fleet: Fleet, release: Path, tight: Path
) -> None:
    assert fetch(tmp_path, fleet)[0] == 0
    _, new = renew(release)
    fleet.publish(release)
    with serving(fleet) as seeder:
        words = {"server": seeder.address, "ca": seeder.ca, "trust": fleet.pub, "into": tight, "bind": "127.0.0.2",
                 "reserve": "0", "progress": "none"}  # fmt: skip
        command = (sys.executable, "-c", _INITRAMFS, *(f"{name}={value}" for name, value in words.items()))
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (tight / IMAGE).read_bytes() == new
