"""A real squashfs read by real loops over FUSE while a real leecher fetches it, on loopback. Needs root."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.support.loopback import Leecher, booting
from tests.support.tree import TREE
from tests.support.waiting import wait_until

_LAUNCH = """
mount=$1; shift
exec 8<>/dev/fuse
mount -i -t fuse -o ro,fd=8,rootmode=40000,user_id=0,group_id=0,allow_other swarmboot-lazy "$mount" || exit 1
exec "$1" -m leecher.lazy 8 "$mount" "$@"
"""
_NOWHERE = _LAUNCH.replace('8 "$mount"', '8 "$mount/nowhere"')


def make_squashfs(path: Path, *, files: int, seed: int) -> dict[str, bytes]:
    """Pack random files, most of them small, and return what is in each by its name."""
    random = Random(seed)
    tree = path.with_suffix(".tree")
    tree.mkdir(parents=True)
    held = {f"{number:04}": random.randbytes(random.choice((3_000, 20_000, 150_000))) for number in range(files)}
    for name, data in held.items():
        (tree / name).write_bytes(data)
    subprocess.run(["mksquashfs", tree, path, "-no-progress", "-quiet", "-noappend", "-comp", "gzip"], check=True)
    return held


@contextmanager
def fuse_connections(folder: Path) -> Iterator[Callable[[], set[str]]]:
    """Yield what tells the kernel's connections to servers of files, each by its file system's minor device number."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "fusectl", "none", folder], check=True)
    try:
        yield lambda: {path.name for path in folder.iterdir()}
    finally:
        subprocess.run(["umount", folder], check=True)


def attached_loops(devices: Collection[str]) -> set[tuple[str, ...]]:
    """Return which of these loop devices are over a file, each with that file's device, inode and name.

    A name alone says nothing: another program's next loop has the name of the one that was let go of last.
    """
    columns = ["losetup", "--noheadings", "--list", "--output", "NAME,BACK-MAJ:MIN,BACK-INO,BACK-FILE"]
    listed = subprocess.run(columns, capture_output=True, text=True, check=True).stdout.splitlines()
    return {tuple(line.split(maxsplit=3)) for line in listed if line.split()[0] in devices}


@dataclass(slots=True)
class LazyNode:
    """A leecher whose images can be read already."""

    leecher: Leecher
    devices: dict[str, str]
    mounted: dict[str, Path]

    @property
    def server(self) -> subprocess.Popen[str]:
        """Return the server of reads."""
        return self.leecher.process

    def fetcher_pid(self) -> int:
        """Return the process that fetches: the server's child."""
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split()
        return int(children[0])

    def exchange_ms(self) -> float | None:
        """Return how long the exchange took, None before it."""
        found: float | None = json.loads((self.leecher.into / "lazy.json").read_text())["exchange_ms"]
        return found

    def wait_for_exchange(self) -> float:
        """Wait for the exchange and return how long it took, in milliseconds."""
        return wait_until("the exchange", self.exchange_ms, process=self.server, seen=lambda: _said(self.leecher))


@contextmanager
def booting_lazily(folder: Path, number: int, *arguments: str | Path) -> Iterator[LazyNode]:
    """Start a leecher below a server of reads, and mount its images; unmount and end all at the end."""
    fuse = folder / f"fuse{number}"
    fuse.mkdir()
    python = ("sh", "-c", _LAUNCH, "lazy", str(fuse), sys.executable)
    mounted: dict[str, Path] = {}
    try:
        with booting(folder, number, *arguments, "--lazy", python=python) as leecher:
            state = leecher.into / "lazy.json"
            wait_until("devices", state.exists, process=leecher.process, seen=lambda: _said(leecher))
            subprocess.run(["umount", "-l", fuse], check=True)
            devices = json.loads(state.read_text())["devices"]
            begun = attached_loops(devices.values())
            try:
                for name, device in devices.items():
                    mounted[name] = folder / f"layer{number}-{name}"
                    mounted[name].mkdir()
                    subprocess.run(["mount", "-t", "squashfs", "-o", "ro", device, mounted[name]], check=True)
                yield LazyNode(leecher, devices, mounted)
            finally:
                for place in mounted.values():
                    subprocess.run(["umount", "-l", place], check=False, capture_output=True)
                for loop in attached_loops(devices.values()):
                    if loop in begun or loop[-1].startswith(str(folder)):
                        subprocess.run(["losetup", "-d", loop[0]], check=False, capture_output=True)
    finally:
        if os.path.ismount(fuse):
            subprocess.run(["umount", "-l", fuse], check=False)


@contextmanager
def booting_without_devices(folder: Path, number: int, *arguments: str | Path) -> Iterator[Leecher]:
    """Start a leecher below a server of reads that can put no loop device over its files."""
    fuse = folder / f"fuse{number}"
    fuse.mkdir()
    try:
        python = ("sh", "-c", _NOWHERE, "lazy", str(fuse), sys.executable)
        with booting(folder, number, *arguments, "--lazy", python=python) as leecher:
            yield leecher
    finally:
        subprocess.run(["umount", "-l", fuse], check=False)


def _said(leecher: Leecher) -> str:
    return "nothing" if leecher.process.poll() is None else leecher.process.communicate()[1]


class PaperReader(threading.Thread):
    """Reads 4 KiB of a device at random, past the page cache, and compares, until it is stopped."""

    def __init__(self, path: str, data: bytes, seed: int) -> None:
        super().__init__(daemon=True)
        self.reads, self.faults, self.longest_s = 0, list[str](), 0.0
        self.is_stopped = False
        self._path, self._data, self._random = path, data, Random(seed)

    def run(self) -> None:
        room = mmap.mmap(-1, 4096)  # direct I/O wants whole pages
        device = os.open(self._path, os.O_RDONLY | os.O_DIRECT)
        try:
            while not self.is_stopped and not self.faults:
                at = self._random.randrange(len(self._data) // 4096) * 4096
                began_s = time.monotonic()
                os.preadv(device, [room], at)
                self.longest_s = max(self.longest_s, time.monotonic() - began_s)
                if room[:] != self._data[at : at + 4096]:
                    self.faults.append(f"other bytes at {at}")
                self.reads += 1
        except OSError as error:
            self.faults.append(str(error))
        finally:
            os.close(device)


@dataclass(slots=True)
class PaperWindow:
    """Images that a fetcher on paper writes when they are read; `devices` are open."""

    process: subprocess.Popen[str]
    folder: Path
    paths: list[str]
    devices: list[int]

    def read(self, device: int, first_byte: int, size_bytes: int) -> bytes:
        """Return bytes of a device."""
        found = b""
        while len(found) < size_bytes and (got := os.pread(device, size_bytes - len(found), first_byte + len(found))):
            found += got
        return found

    def is_waited_for(self) -> bool:
        """Return whether a read has had to wait for what is not there."""
        return (self.folder / "waited").exists()

    @contextmanager
    def reading(self, device: int, data: bytes, *, readers: int) -> Iterator[list[PaperReader]]:
        """Have so many readers read a device for a block."""
        path = self.paths[self.devices.index(device)]
        crew = [PaperReader(path, data, seed) for seed in range(readers)]
        for reader in crew:
            reader.start()
        try:
            yield crew
        finally:
            for reader in crew:
                reader.is_stopped = True
            for reader in crew:
                reader.join(60)

    def end(self) -> float:
        """Have the files exchanged and return how long that took, in milliseconds."""
        (self.folder / "go").touch()
        done = self.folder / "done"
        wait_until("the exchange", done.exists)
        return float(done.read_text())


@contextmanager
def paper_window(
    folder: Path, images: list[Path], *, fault: str = "", group: Path | None = None
) -> Iterator[PaperWindow]:
    """Serve images that arrive as they are read, by processes of a control group if one is given; needs root."""
    fuse = folder / "fuse"
    fuse.mkdir()
    fetcher = [sys.executable, "-m", "tests.support.paper_fetcher", str(folder), fault, *map(str, images)]
    join = f"echo $$ >{group}/cgroup.procs || exit 1\n" if group else ""
    process = subprocess.Popen(
        ["sh", "-c", join + _LAUNCH, "lazy", str(fuse), *fetcher],
        stderr=subprocess.PIPE, text=True, cwd=TREE,
    )  # fmt: skip
    devices: list[int] = []
    paths: list[str] = []
    try:
        loops = folder / "loops"
        wait_until("devices", loops.exists, process=process)
        paths = loops.read_text().split()
        subprocess.run(["umount", "-l", fuse], check=True)
        devices = [os.open(path, os.O_RDONLY) for path in paths]
        for device in devices:  # as squashfs reads: no block but those that it needs
            os.posix_fadvise(device, 0, 0, os.POSIX_FADV_RANDOM)
        yield PaperWindow(process, folder, paths, devices)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)
        for device in devices:
            os.close(device)
        if paths:
            subprocess.run(["losetup", "-d", *paths], check=False, capture_output=True)
        if os.path.ismount(fuse):
            subprocess.run(["umount", "-l", fuse], check=False)
