"""What the suite starts ends with it, however that ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import wait_for_line, wait_until
from tests.system.vm.programs import STAY_ROOT

_RUN = """
import sys, time
from collections.abc import Callable
from pathlib import Path
from tests.system.vm.programs import running
with running(*sys.argv[2:], log=Path(sys.argv[1])) as process:
    print(process.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.root
@pytest.mark.needs("dnsmasq")
def test_dnsmasq_ends_with_a_test_run_that_is_killed(tmp_path: Path) -> None:
    dnsmasq = (
        "dnsmasq",
        "--keep-in-foreground",
        "--log-facility=-",
        "--conf-file=/dev/null",
        "--port=0",
        "--pid-file=",
        *STAY_ROOT,
    )
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, str(tmp_path / "log"), *dnsmasq], stdout=subprocess.PIPE, text=True
    ) as suite:
        assert suite.stdout is not None
        child = int(suite.stdout.readline())
        wait_for_line(tmp_path / "log", "started")
        suite.kill()
        wait_until("an end of dnsmasq", lambda: not _lives(child))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
