"""Chaos and soak in short: a rack's nodes hold under attack, and nothing of a run remains."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.system.lab.commands import BOUND_S, LAB, SMALL, lab
from tests.system.lab.remains import remains

pytestmark = [pytest.mark.root, pytest.mark.needs("ip", "tc")]


def test_two_dozen_nodes_boot_at_the_first_try_among_killed_late_and_slow_ones() -> None:
    status, result, said = lab("soak", "--boots", "24", "--size", "2MiB")
    assert status == 0, said
    assert result["booted"] == result["boots"] >= 24
    assert result["wrong"] == 0
    assert result["failures"] == []
    assert result["killed"] + result["late"] + result["slow"] > 0


def test_a_chaos_run_that_is_told_to_stop_leaves_nothing() -> None:
    command = [*LAB, "chaos", *SMALL, "--row", "one-slow-node"]
    with subprocess.Popen(command, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("fault-free") for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        assert process.wait(BOUND_S) == 143
    assert remains(process.pid) == []
