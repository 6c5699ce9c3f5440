"""Runs programs to their end, and others while a block lasts; all of them die with the test run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_for_namespace

PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
BOUND_TO_US = ("setpriv", "--pdeathsig", "KILL", "--")
STAY_ROOT = ("--user=root", "--group=root")
"""Keeps dnsmasq from changing user or group, which would clear the signal that ends it with the test run (prctl(2))."""
PROMPT_S = 300.0
"""How long a machine that has booted, or has failed, may take for its next line: a bound on hangs, not on speed."""
SWARMBOOT = (sys.executable, "-m", "swarmboot")


def run(*command: str, within_s: float = 600, folder: Path | None = None) -> str:
    """Run a program and return its output; fail the test with its last words otherwise."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within_s, check=False,
        env={**os.environ, "PATH": PATH, "LC_ALL": "C.UTF-8"}, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}"
    return done.stdout


@contextmanager
def running(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the block lasts, its output in a file."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            (*BOUND_TO_US, *command), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": PATH},
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def own_network(log: Path) -> Iterator[int]:
    """Keep a network namespace while the block lasts; yield the process whose it is, which dies with the test run."""
    with running("unshare", "--net", "--", *BOUND_TO_US, "sleep", "infinity", log=log) as keeper:
        wait_for_namespace(keeper.pid)
        yield keeper.pid


def in_network(pid: int) -> tuple[str, ...]:
    """Return what to put before a command, so that it runs in the network namespace of a process."""
    return ("nsenter", "--net", "--target", str(pid), "--")
