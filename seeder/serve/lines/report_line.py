"""One line of the seeder's log for a node's report: which node and which boot of it, and how it went.

Everything in it but the address is the node's own word. What tells machines apart has a narrow form
(`swarmboot.report`); the rest is made printable, and cut, by the log.
"""

from __future__ import annotations

from swarmboot.wire.report import BOOTED, BootReport

_SHOWN = 8
"""So many digits of an id are enough to find the other lines of a node, or of a boot."""


def report_line(report: BootReport, *, host: str) -> str:
    """Return the line for a report that came from the address `host`."""
    boot = f"boot {report.boot[:_SHOWN]}" if report.boot else ""
    who = ", ".join(filter(None, (report.name, report.mac, host, boot)))
    node = f"node {report.node[:_SHOWN]} ({who})" if who else f"node {report.node[:_SHOWN]}"
    if report.error:
        return f"{node} {report.outcome}: {report.error}"
    sources = ", ".join(f"{count / 1e6:.1f} MB from {source}" for source, count in sorted(report.bytes_from.items()))
    stage0 = f"; started with another stage 0: {report.stage0}" if report.stage0 else ""
    return f"{node} {report.outcome} {_took(report)}{f': {sources}' if sources else ''}{stage0}"


def _took(report: BootReport) -> str:
    if report.outcome == BOOTED and report.uptime_s:
        return f"{report.uptime_s:.2f} s after its kernel started"
    return f"in {sum(report.phases.values()):.2f} s"
