"""A systemd of a test's own, as process 1 of a container: this machine's programs, under an overlay that forgets.

It has its own processes, mounts, network and control groups; /sys and /proc/sys are read-only there. Units run in it as
they would on a machine, with the kernel's own seccomp filters, capabilities and name spaces.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.tree import TREE
from tests.support.waiting import wait_until
from tests.system.vm.programs import run, running

_BOUND_S = 60.0
_TARGET = "container.target"
_UNIT = "[Unit]\nWants=basic.target\nAfter=basic.target\n"
_BOOT = """
set -eu
echo $$ >"$1/cgroup.procs"
shift
exec unshare --pid --fork --kill-child --mount --uts --ipc --net --cgroup -- sh -euc "$@"
"""
_CONTAINER = """
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
cp -r "$1.files/." .
shift
for folder in dev run tmp; do mount -t tmpfs -o mode=0755 tmpfs $folder; done
chmod 1777 tmp
for folder; do mkdir -p "./$folder" && mount --bind "$folder" "./$folder"; done
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for name in null zero full random urandom; do touch dev/$name && mount --bind /dev/$name dev/$name; done
ln -s /proc/self/fd dev/fd
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
find usr/lib/systemd/system/*.wants etc/systemd/system/*.wants ! -type d ! -name '*journald*' -delete
: >etc/machine-id
ip link set lo up
mkdir -p old && pivot_root . old
exec chroot . sh -c "umount -l /old && mount --make-rshared / &&
    exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=container.target"
"""


@dataclass(frozen=True, slots=True)
class Container:
    """A running systemd."""

    pid: int

    @property
    def inside(self) -> tuple[str, ...]:
        """Return what to put before a command, so that it runs in the container."""
        return ("nsenter", "--target", str(self.pid), "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--")

    def run(self, *command: str) -> str:
        """Run a command in the container and return its output; fail the test if it fails."""
        return run(*self.inside, *command)

    def start(self, unit: str) -> None:
        """Start a unit; fail the test with its journal if that fails."""
        done = subprocess.run((*self.inside, "systemctl", "start", unit), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + self.journal(unit)

    def journal(self, unit: str) -> str:
        """Return what a unit has said."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def shown(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def status(self, unit: str) -> dict[str, str]:
        """Return what the kernel says of a unit's main process (proc(5), /proc/PID/status)."""
        lines = self.run("cat", f"/proc/{self.shown(unit, 'MainPID')}/status").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@contextmanager
def systemd_running(work: Path, files: Mapping[str, str]) -> Iterator[Container]:
    """Boot a systemd while the block lasts, with these files by their path in it."""
    group = _cgroup_root() / f"swarmboot-{os.getpid()}-{time.monotonic_ns()}"
    root, log = work / "container", work / "container.log"
    root.mkdir()
    for path, text in {**files, f"etc/systemd/system/{_TARGET}": _UNIT}.items():
        target = work / "container.files" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    code = (TREE, Path(sys.prefix), Path(sys.base_prefix))
    seen = [str(path) for path in (work, *filter(_is_apart, code))]
    group.mkdir()
    with running("sh", "-euc", _BOOT, "sh", str(group), _CONTAINER, "sh", str(root), *seen, log=log) as starter:
        try:
            yield _booted(starter, log)
        finally:
            _remove(group)


def _booted(starter: subprocess.Popen[bytes], log: Path) -> Container:
    def booted() -> Container | None:
        children = Path(f"/proc/{starter.pid}/task/{starter.pid}/children").read_text().split()
        if not children:
            return None
        container = Container(int(children[0]))
        asked = (*container.inside, "systemctl", "is-active", _TARGET)
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
        return container if "active" in said else None

    return wait_until(
        "a systemd that has come up", booted, process=starter, within_s=_BOUND_S, every_s=0.1,
        seen=lambda: log.read_text(errors="replace"),
    )  # fmt: skip


def _is_apart(path: Path) -> bool:
    """Return whether a path is on another file system than the root, where the overlay does not show it."""
    return path.stat().st_dev != Path("/").stat().st_dev


def _cgroup_root() -> Path:
    """Return where the unified hierarchy is mounted (cgroups(7))."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(folder)
    raise AssertionError("this machine has no cgroup2 hierarchy")


def _remove(group: Path) -> None:
    """Remove a control group and those below it; whatever is in them dies (cgroups, `cgroup.kill`)."""
    (group / "cgroup.kill").write_text("1")
    events = group / "cgroup.events"
    wait_until("an empty control group", lambda: "populated 1" not in events.read_text(), within_s=_BOUND_S)
    for folder, _, _ in os.walk(group, topdown=False):
        Path(folder).rmdir()
