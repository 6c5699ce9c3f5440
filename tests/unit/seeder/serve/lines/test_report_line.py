"""What the seeder's log says of a node's report: which machine, which boot of it, and how it went."""

from __future__ import annotations

from seeder.serve.lines.report_line import report_line
from swarmboot.wire.report import BOOTED, FAILED, VERIFIED, BootReport

NODE = "0123456789abcdef" * 2
BOOT = "1a2b3c4d-0000-4000-8000-000000000000"


def line(report: BootReport) -> str:
    return report_line(report, host="10.0.0.7")


def test_a_report_names_host_card_address_and_boot() -> None:
    report = BootReport(
        NODE, VERIFIED, phases={"manifest": 0.5, "images": 3.0}, bytes_from={"neighbours": 40_000_000, "origin": 0},
        boot=BOOT, mac="52:54:00:00:00:07", name="node7",
    )  # fmt: skip
    assert line(report) == (
        "node 01234567 (node7, 52:54:00:00:00:07, 10.0.0.7, boot 1a2b3c4d) images verified "
        "in 3.50 s: 40.0 MB from neighbours, 0.0 MB from origin"
    )


def test_a_failure_is_told_in_its_own_words() -> None:
    report = BootReport(NODE, FAILED, error="the root has no init", boot=BOOT, mac="52:54:00:00:00:07")
    assert line(report).endswith("(52:54:00:00:00:07, 10.0.0.7, boot 1a2b3c4d) failed: the root has no init")


def test_a_booted_system_says_how_long_after_its_kernel_started() -> None:
    assert line(BootReport(NODE, BOOTED, uptime_s=41.25)).endswith("booted 41.25 s after its kernel started")


def test_a_report_of_a_build_before_names_its_address() -> None:
    report = BootReport(NODE, BOOTED, phases={"images": 2.0}, bytes_from={"origin": 1_000_000})
    assert line(report).endswith("node 01234567 (10.0.0.7) booted in 2.00 s: 1.0 MB from origin")
