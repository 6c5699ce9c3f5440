"""The lab's commands, run to their end."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.system.lab.remains import remains

LAB = (sys.executable, "-m", "swarmboot", "lab")
SMALL = ("--nodes", "5", "--rate", "20mbit", "--size", "4MiB")
BOUND_S = 240


def lab(*arguments: str) -> tuple[int, Any, str]:
    """Return the status of a lab command, what it printed as JSON, and what it said besides; it has left nothing."""
    with subprocess.Popen([*LAB, *arguments, "--json"], stdout=-1, stderr=-1, text=True) as process:
        printed, said = process.communicate(timeout=BOUND_S)
    assert remains(process.pid) == []
    return process.returncode, json.loads(printed), said
