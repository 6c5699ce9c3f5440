"""A group of processes that may have so much memory together, and no more (cgroups(7), either version)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

_HOG = """
open("/proc/self/oom_score_adj", "w").write("1000")
held = []
while True:
    held.append(bytearray(1 << 20))
"""


def _roots() -> Iterator[tuple[Path, str]]:
    """Yield where such a group can be made, and the name of its limit."""
    yield Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
    yield Path("/sys/fs/cgroup"), "memory.max"


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path]:
    """Yield a new group for processes that start in it; skip the test where none can be made."""
    for root, limit in _roots():
        group = root / f"swarmboot-test-{os.getpid()}"
        with suppress(OSError):
            group.mkdir()
            if (group / limit).exists():
                break
            group.rmdir()
    else:
        pytest.skip("no group of processes with a limit to its memory can be made here")
    try:
        (group / limit).write_text(str(limit_bytes))
        yield group
    finally:
        wait_until("an empty group", lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def hog(group: Path) -> int:
    """Take memory in a group until the kernel ends that; return how the hog ended."""
    script = f'echo $$ >{group}/cgroup.procs && exec "$@"'
    return subprocess.run(["sh", "-c", script, "hog", sys.executable, "-c", _HOG], timeout=60, check=False).returncode
