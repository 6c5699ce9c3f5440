"""Chaos and soak in short: racks of real nodes hold under attack, the table says so, and nothing of them remains."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.system.lab.remains import remains

pytestmark = [pytest.mark.root, pytest.mark.needs("ip", "tc")]

LAB = (sys.executable, "-m", "swarmboot", "lab")
SMALL = ("--nodes", "5", "--rate", "20mbit", "--size", "4MiB")
BOUND_S = 240


def lab(*arguments: str) -> tuple[int, Any, str]:
    """Return the status of a lab command, what it printed as JSON, and what it said besides."""
    with subprocess.Popen([*LAB, *arguments, "--json"], stdout=-1, stderr=-1, text=True) as process:
        printed, said = process.communicate(timeout=BOUND_S)
    assert remains(process.pid) == []
    return process.returncode, json.loads(printed), said


@pytest.mark.needs("nginx")
def test_a_rack_boots_although_its_seeder_dies_or_a_neighbour_lies() -> None:
    rows = ("seeder-killed-at-50", "liar-100")
    status, outcomes, said = lab("chaos", *SMALL, *(f"--row={row}" for row in rows))
    assert status == 0, said
    assert [outcome["row"] for outcome in outcomes] == ["fault-free", *rows]
    for outcome in outcomes:
        assert outcome["booted"] == outcome["expected"] == 5
        assert outcome["wrong"] == 0
        assert outcome["last_s"] <= outcome["bound_s"]
        assert outcome["faults"] == []
    assert outcomes[1]["server_copies"] < 1


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
