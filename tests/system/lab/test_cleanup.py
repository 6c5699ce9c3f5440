"""However a lab run ends, nothing of it remains; and each refusal is one line with a status of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.lab.remains import remains

pytestmark = [pytest.mark.root, pytest.mark.needs("ip", "tc")]

LAB = (sys.executable, "-m", "swarmboot", "lab")
LONG = (*LAB, "run", "--strategy", "libtorrent", "--nodes", "3", "--rate", "1mbit", "--size", "8MiB")
SHORT = (*LAB, "run", "--strategy", "libtorrent", "--nodes", "1", "--size", "64KiB", "--timeout", "100s")
BOUND_S = 120
NOBODY = 65534


@pytest.fixture
def running() -> Iterator[subprocess.Popen[str]]:
    """A lab whose nodes have just started and have minutes to go; it ignores no signal, whoever runs these tests."""
    ignored = [number for number in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    with subprocess.Popen(LONG, stderr=subprocess.PIPE, text=True) as process:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        try:
            assert process.stderr is not None
            assert any("nodes start" in line for line in process.stderr)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=lambda value: str(value),
)
def test_a_lab_that_is_told_to_stop_leaves_nothing(
    running: subprocess.Popen[str], number: signal.Signals, status: int
) -> None:
    assert remains(running.pid)
    running.send_signal(number)
    assert running.wait(BOUND_S) == status
    assert remains(running.pid) == []


def test_the_next_lab_removes_what_a_killed_one_left(running: subprocess.Popen[str]) -> None:
    running.kill()
    running.wait(BOUND_S)
    assert remains(running.pid)
    done = subprocess.run(SHORT, capture_output=True, text=True, timeout=BOUND_S)
    assert done.returncode == 0, done.stderr
    assert "killed lab run" in done.stderr
    assert remains(running.pid) == []


def test_a_lab_leaves_a_running_one_alone(running: subprocess.Popen[str]) -> None:
    before = sorted(remains(running.pid))
    done = subprocess.run(SHORT, capture_output=True, text=True, timeout=BOUND_S)
    assert done.returncode == 0, done.stderr
    assert {path for path in before if path.startswith("/run")} <= set(remains(running.pid))
    assert running.poll() is None


def refusal(*command: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Return the status and the one refusing line of a lab that fails, after checking that nothing of it remains."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        _, complaint = process.communicate(timeout=BOUND_S)
    assert remains(process.pid) == []
    lines = [line for line in complaint.splitlines() if not line.startswith("lab: ")]
    assert len(lines) == 1, complaint
    return process.returncode, lines[0]


def test_a_run_past_its_time_bound_fails_and_leaves_nothing() -> None:
    status, line = refusal(*LONG, "--timeout", "1s")
    assert status == 65
    assert "time bound of 1 s" in line


@pytest.mark.needs("nginx")
@pytest.mark.skipif(shutil.which("curl") is None, reason="they need curl, not installed here")
def test_a_node_whose_server_dies_is_named_with_its_last_words() -> None:
    command = (*LAB, "run", "--strategy", "https", "--nodes", "1", "--rate", "1mbit", "--size", "1MiB")
    status, line = refusal(*command, "--kill-server-after", "1s")
    assert status == 65
    assert "node 0" in line
    assert "curl: (" in line


def test_without_root_the_lab_says_so_in_one_line() -> None:
    reading = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")  # the checkout may be root's own
    command = ("setpriv", f"--reuid={NOBODY}", "--clear-groups", *reading, *LAB, "run", "--strategy", "https")
    status, line = refusal(*command)
    assert status == 63
    assert line.startswith("swarmboot: the lab makes network namespaces: expected root, found user 65534")


def test_a_missing_program_is_named_with_its_debian_package(tmp_path: Path) -> None:
    for program in ("ip", "tc", "nsenter", "setpriv"):
        found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert found is not None
        (tmp_path / program).symlink_to(found)
    status, line = refusal(*LAB, "run", "--strategy", "aria2", env={**os.environ, "PATH": str(tmp_path)})
    assert status == 64
    assert "aria2c" in line
    assert "apt-get install aria2" in line
