"""The neighbour of a booted system on loopback: `leecher.initramfs seed`, with its files in a folder of a test's.

It starts as from a runtime image: with the distribution's Python, compiled as that is, and gives up root itself.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seeder.hook import runtime_image
from tests.support.loopback import Fleet, HostileOrigin, Seeder
from tests.support.waiting import BOUND_S, wait_until

NEEDS = tuple(f"/usr/share/doc/{package}" for package in runtime_image.PACKAGES)
_SEED = """
import sys
from pathlib import Path
from leecher.initramfs import __main__ as node, node_settings
node.STATE, node_settings.BAKED = map(Path, sys.argv[2:])
sys.argv[2:] = []
node.main()
"""


@dataclass(frozen=True, slots=True)
class NodePython:
    """How a runtime image's Python starts, and with which variables."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


def node_python(folder: Path, *, tree: Path | None = None) -> NodePython:
    """Return the distribution's Python with its packages, all byte code in `folder`; `tree` is another checkout's."""
    source = runtime_image.probe("packages")
    folders = sorted({str(path.parent) for path in source.packages.values()})
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*([str(tree)] if tree else []), *folders]),
        "PYTHONPYCACHEPREFIX": str(folder),
        "PYTHONNODEBUGRANGES": "1",
    }
    python = NodePython((str(source.executable), "-S", "-OO"), environment)
    subprocess.run(
        (*python.command, "-m", "leecher.initramfs.read_order"),
        env=environment, cwd=tree, stdout=subprocess.DEVNULL, check=True, timeout=BOUND_S,
    )  # fmt: skip
    return python


def memory_bytes(process: int, field: str) -> int:
    """Return a field of /proc/PID/status (proc(5)), such as RssAnon; 0 before the process has it."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(rf"^{field}:\s+([0-9]+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def lay_out(
    state: Path, fleet: Fleet, server: Seeder | HostileOrigin, release: Path | None, *, bind: str,
    seen_at: Path | None = None, log: str = "off",
) -> None:  # fmt: skip
    """Lay out what the initramfs leaves of a boot from this server, for all to read: with the images of `release`.

    `seen_at` is where the neighbour sees `state`/etc, if it is elsewhere; `log` whether it hands in the kernel's log.
    """
    etc = state / "etc"
    etc.mkdir(parents=True)
    images = state / "images"
    images.mkdir()
    for image in (release / "rootfs.squashfs", *(release / "plugins").iterdir()) if release else ():
        shutil.copyfile(image, images / image.name)
    shutil.copyfile(fleet.pub, etc / "trust.pub")
    shutil.copyfile(server.ca, etc / "ca.pem")
    settings = {
        "server": server.address, "trust": (seen_at or etc) / "trust.pub", "ca": (seen_at or etc) / "ca.pem",
        "bind": bind, "discovery": "off", "log": log,
    }  # fmt: skip
    (etc / "defaults").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    (state / "stage0").mkdir()
    (state / "stage0").chmod(0o777)


class Seed:
    """A running neighbour and what it has said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as said:
            for line in said:
                self.lines.append(line.rstrip("\n"))

    def wait_until_whole(self) -> None:
        """Return once it has all images and has settled."""
        wait_until(
            "a neighbour with all images", lambda: any("complete" in line for line in self.lines),
            process=self.process, seen=lambda: self.lines,
        )  # fmt: skip

    @property
    def children(self) -> list[int]:
        """Return the processes that it has started and that are there (proc(5))."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self) -> int:
        """Wait for its end; return its exit status."""
        self.process.wait(timeout=BOUND_S)
        self._reader.join()
        return self.process.returncode


@contextmanager
def seeding(state: Path, python: NodePython, *, tree: Path | None = None) -> Iterator[Seed]:
    """Start the neighbour whose files are below `state`, and end it at the end."""
    process = subprocess.Popen(
        (*python.command, "-c", _SEED, "seed", str(state), str(state / "etc")),
        env=python.environment, cwd=tree, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    seed = Seed(process)
    try:
        yield seed
    finally:
        if process.poll() is None:
            process.terminate()
        seed.end()
