"""What the server of reads and its fetcher say to each other, and what becomes of a server with a fault."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from leecher.lazy.link import Link
from tests.support.tree import TREE


@pytest.mark.timeout(10)  # that it does not stand still is what is tested
def test_a_fetcher_that_hears_nothing_holds_up_no_read() -> None:
    near, far = socket.socketpair()
    with near, far:
        link = Link(near)
        for index in range(10_000):
            link.hint("wait", 0, index)
        link.close()
        heard = [*Link(far).lines()]
    assert heard == [("wait", f"0 {index}") for index in range(len(heard))]
    assert len(heard) > 100


_DEAD_WORKER = """
import threading
from leecher.lazy.__main__ import end_at_once
threading.excepthook = end_at_once
threading.Thread(target=lambda: [][0]).start()
threading.Event().wait()
"""


def test_a_thread_that_dies_ends_the_server_so_that_its_reads_fail_and_do_not_wait_for_ever() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _DEAD_WORKER], capture_output=True, text=True, timeout=20, check=False, cwd=TREE
    )
    assert done.returncode == 70
    assert "swarmboot: the server of reads has a fault and ends: IndexError" in done.stderr
