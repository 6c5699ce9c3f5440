"""Waits for what other programs and machines do in their own time: the one loop in the tests that looks and sleeps."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

BOUND_S = 90.0
"""A bound on hangs, not on speed."""
T = TypeVar("T")


def wait_until(
    what: str,
    look: Callable[[], T | None],
    *,
    process: subprocess.Popen[Any] | None = None,
    within_s: float = BOUND_S,
    every_s: float = 0.02,
    seen: Callable[[], object] = lambda: "nothing",
) -> T:
    """Return what `look` finds as soon as it finds something, which is neither None nor False.

    Fails the test when it does not in time, or when `process`, which is to bring it about, has ended without it: with
    `what` was waited for and what was `seen` in its place.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        has_ended = process is not None and process.poll() is not None
        if (found := look()) is not None and found is not False:
            return found
        if has_ended or time.monotonic() > deadline_s:
            why = "the program has ended" if has_ended else f"not within {within_s:g} s"
            raise AssertionError(f"{what}: {why}; seen: {str(seen())[-4000:]}")
        time.sleep(every_s)


def wait_for_line(log: Path, pattern: str, *, within_s: float = BOUND_S) -> str:
    """Return the first line of a growing file in which a pattern is found."""
    wanted = re.compile(pattern)

    def text() -> str:
        return log.read_text(errors="replace")

    def look() -> str | None:
        return next((line for line in text().splitlines() if wanted.search(line)), None)

    return wait_until(f"{pattern!r} in {log.name}", look, within_s=within_s, every_s=0.1, seen=text)


def wait_for_namespace(pid: int) -> None:
    """Return once a process has a network namespace of its own."""
    ours, its = Path("/proc/self/ns/net").readlink(), Path(f"/proc/{pid}/ns/net")
    wait_until(f"a network namespace of process {pid}'s own", lambda: its.readlink() != ours, seen=its.readlink)
