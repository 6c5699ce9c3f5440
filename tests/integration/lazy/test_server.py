"""The server of reads by itself, below a kernel's FUSE and loops, with a fetcher on paper (0056)."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

import pytest

from tests.support.lazy import attached_loops, paper_window
from tests.support.memory import hog, memory_group
from tests.support.tree import TREE
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("mount", "umount", "losetup")]


def write_images(folder: Path, *sizes: int) -> list[Path]:
    paths = [folder / f"image{number}" for number in range(len(sizes))]
    for number, (path, size_bytes) in enumerate(zip(paths, sizes, strict=True)):
        path.write_bytes(Random(number).randbytes(size_bytes))
    return paths


def test_images_of_any_size_are_read_while_they_arrive_and_after(tmp_path: Path) -> None:
    images = write_images(tmp_path, 1_000_000, 300_001, 4096)
    with paper_window(tmp_path, images) as window:
        assert len(window.devices) == 3
        for image, device in zip(images, window.devices, strict=True):
            data = image.read_bytes()
            whole_sectors = len(data) // 512 * 512
            assert window.read(device, 0, 4096) == data[:4096]
            assert window.read(device, whole_sectors - 512, 512) == data[whole_sectors - 512 : whole_sectors]
        assert window.end() < 5000
        for image, device in zip(images, window.devices, strict=True):
            data = image.read_bytes()
            os.posix_fadvise(device, 0, 0, os.POSIX_FADV_DONTNEED)
            assert window.read(device, 0, len(data)) == data[: len(data) // 512 * 512]


def test_a_piece_that_arrives_wrong_is_read_by_nobody(tmp_path: Path) -> None:
    images = write_images(tmp_path, 1_000_000)
    with paper_window(tmp_path, images, fault="wrong") as window:
        data = images[0].read_bytes()
        for first_byte in (0, 400_384, 900_096):
            assert window.read(window.devices[0], first_byte, 4096) == data[first_byte : first_byte + 4096]
        window.end()


def test_a_read_that_nobody_can_serve_ends_with_an_error_when_its_server_ends(tmp_path: Path) -> None:
    images = write_images(tmp_path, 1_000_000)
    faults: list[OSError] = []
    with paper_window(tmp_path, images, fault="never") as window:

        def read() -> None:
            try:
                window.read(window.devices[0], 0, 4096)
            except OSError as error:
                faults.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        wait_until("a read that waits", lambda: window.is_waited_for())
        window.process.kill()
        reader.join(30)
    assert len(faults) == 1


def test_four_readers_see_nothing_of_the_exchange(tmp_path: Path) -> None:
    images = write_images(tmp_path, 4_000_000)
    data = images[0].read_bytes()
    with paper_window(tmp_path, images) as window:
        with window.reading(window.devices[0], data, readers=4) as readers:
            wait_until("reads", lambda: all(reader.reads > 5 for reader in readers))
            window.end()
            reads = [reader.reads for reader in readers]
            wait_until("more", lambda: all(reader.reads > n for reader, n in zip(readers, reads, strict=True)))
        assert [fault for reader in readers for fault in reader.faults] == []


def test_a_fetcher_that_ends_before_a_root_is_in_use_ends_the_attempt_and_its_devices(tmp_path: Path) -> None:
    """Started again and again it would never come to an end that the hook hears of."""
    with paper_window(tmp_path, write_images(tmp_path, 1_000_000), fault="ends") as window:
        loops = attached_loops(window.paths)
        assert len(loops) == len(window.paths)
        (window.folder / "end").touch()
        assert window.process.wait(20) == 24
        while window.devices:
            os.close(window.devices.pop())
        wait_until("loops let go of", lambda: not loops & attached_loops(window.paths))  # at the last close


def test_reads_go_on_beside_hogs_that_take_all_memory_there_is(tmp_path: Path) -> None:
    """What the server needs it has: a page more would be taken from it, and who waits for it would wait for ever."""
    images = write_images(tmp_path, 6_000_000)
    data = images[0].read_bytes()
    with memory_group(96 << 20) as group, paper_window(tmp_path, images, group=group) as window:
        with window.reading(window.devices[0], data, readers=4) as readers:
            assert [hog(group) for _ in range(3)] == [-9, -9, -9]
            reads = [reader.reads for reader in readers]
            wait_until("reads", lambda: all(reader.reads > n for reader, n in zip(readers, reads, strict=True)))
            window.end()
        assert [fault for reader in readers for fault in reader.faults] == []


_UNSERVED = """
import errno, os, subprocess, sys
from leecher.lazy.image import ImageFacts
from leecher.lazy.server import FileServer
fuse, mount = os.open("/dev/fuse", os.O_RDWR), sys.argv[1]
options = f"ro,fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other"
subprocess.run(["mount", "-i", "-t", "fuse", "-o", options, "swarmboot-lazy", mount], pass_fds=[fuse], check=True)
server = FileServer(fuse, lambda *told: print(*told), read_s=0.5)
server.start()
server.serve([ImageFacts(f"{mount}.image", 1 << 16, 1 << 16, (bytes(32),))])
read = subprocess.run(["cat", f"{mount}/0"], capture_output=True, text=True)
subprocess.run(["umount", "-l", mount], check=True)
print(read.returncode, read.stderr)
"""


def test_a_read_that_nobody_serves_in_time_fails_and_does_not_wait_for_ever(tmp_path: Path) -> None:
    mount = tmp_path / "fuse"
    mount.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _UNSERVED, str(mount)], capture_output=True, text=True, timeout=60, check=True, cwd=TREE
    )
    assert "0 0 True" in done.stdout
    assert os.strerror(errno.EIO) in done.stdout
