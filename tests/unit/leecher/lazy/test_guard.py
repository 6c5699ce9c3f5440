"""What a server of reads is spared by the kernel, and what it starts is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.tree import TREE

_STARTED = """
import os, signal
from leecher.lazy.guard import spawn, stand_guard
stand_guard()
open("/proc/self/oom_score_adj", "r+").write("300")  # anything but a child's own, for whoever may not say -1000
child = spawn(["sleep", "60"], dict(os.environ))
for process in ("self", child):
    flags = int(open(f"/proc/{process}/stat").read().rpartition(")")[2].split()[6])
    print(open(f"/proc/{process}/oom_score_adj").read().strip(), flags >> 19 & 1)
os.kill(child, signal.SIGKILL)
"""
"""Bit 19 of a thread's flags is PF_MEMALLOC_NOIO (include/linux/sched.h): what PR_SET_IO_FLUSHER gives it."""


def test_what_the_server_starts_is_spared_nothing() -> None:
    """The fetcher has most of the memory: spared like its parent, something innocent would be killed for it."""
    done = subprocess.run(
        [sys.executable, "-c", _STARTED], capture_output=True, text=True, timeout=30, check=True, cwd=TREE
    )
    own, child = (line.split() for line in done.stdout.splitlines())
    assert own[0] == "300"
    assert child == ["0", "0"]


def test_what_a_machine_does_not_allow_is_said_and_nothing_else_is_lost() -> None:
    lines = subprocess.run(
        [sys.executable, "-c", "from leecher.lazy.guard import stand_guard; print(*stand_guard(), sep=chr(10))"],
        capture_output=True, text=True, timeout=30, check=True, cwd=TREE,
    ).stdout.splitlines()  # fmt: skip
    may = int(Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0], 16) >> 24 & 1
    assert bool([line for line in lines if line]) != bool(may), "CAP_SYS_RESOURCE is what it takes"
