"""Facts about simulated boots, for tests of the record: reports and announces as nodes make them."""

from __future__ import annotations

from typing import Any

from seeder.record.policy.facts import Heard
from swarmboot.wire.announce import NodeState
from swarmboot.wire.report import VERIFIED, BootReport

MAC = "52:54:00:00:00:01"
HOST = "10.0.3.7"
BOOT_ID = "00000000-0000-4000-8000-000000000001"
TOLD = {"leecher_start": 0.5, "manifest": 0.5, "images": 8.0, "verification": 1.0}


def build_heard(node: str = "aa" * 16, **changes: Any) -> Heard:
    """Return what an announce of a fetching node says."""
    return Heard(**{"node": node, "host": HOST, "state": NodeState.FETCHING, "sequence": 7, **changes})


def build_report(node: str = "aa" * 16, outcome: str = VERIFIED, **changes: Any) -> BootReport:
    """Return the report of a node whose images are there and which hands off."""
    values: dict[str, Any] = {"phases": TOLD, "sequence": 7, "hands_off": True, "mac": MAC, "boot": BOOT_ID}
    return BootReport(node, outcome, **{**values, **changes})
