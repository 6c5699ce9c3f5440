"""What is made of one fact about one boot: a boot goes in, a boot comes out. Pure; times are Unix seconds.

A node tells how long its phases took and when the last of them has just ended, so its phases are counted backwards from
the moment its word arrives: no node's clock is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from seeder.record.policy.boot import (
    BANS_MAX,
    STAGE0_PHASES,
    Boot,
    Fault,
    Outcome,
    Span,
    kept_text,
    with_fault,
    with_first,
)
from swarmboot.wire.announce import NodeState
from swarmboot.wire.report import BOOTED, FAILED, BootReport

_TOLD_PHASES = ("leecher_start", "manifest", "images", "verification")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What an announce says that a record keeps. Bytes as the node counted them; `total_bytes` 0 where unknown."""

    node: str
    host: str
    state: NodeState
    rack: str = ""
    sequence: int = 0
    mac: str = ""
    boot: str = ""
    name: str = ""
    channel: str = ""
    kernel: str = ""


def offered(boot: Boot, *, now_s: float) -> Boot:
    """Return a boot whose machine was told by DHCP what to boot."""
    return replace(boot, phases=_begun(boot.phases, "dhcp", now_s), heard_s=now_s)


def asked(boot: Boot, *, host: str, rack: str, now_s: float) -> Boot:
    """Return a boot whose machine has asked for its script."""
    phases = boot.phases if "queue" in boot.phases else _begun(boot.phases, "queue", now_s)
    addresses = with_first(boot.addresses, host)
    return replace(boot, addresses=addresses, rack=rack or boot.rack, phases=phases, heard_s=now_s)


def granted(boot: Boot, *, channel: str = "", now_s: float) -> Boot:
    """Return a boot whose machine may load kernel and initramfs of what a channel has now."""
    phases = _begun(boot.phases, "stage0", now_s)
    return replace(boot, phases=phases, heard_s=now_s, ahead=0, channel=channel or boot.channel)


def loaded(boot: Boot, *, now_s: float) -> Boot:
    """Return a boot whose machine has loaded kernel and initramfs from this server."""
    return replace(boot, phases=_begun(boot.phases, "kernel", now_s), heard_s=now_s)


def missed(boot: Boot, channel: str, *, now_s: float) -> Boot:
    """Return a boot that asks for a channel which is not there: it has a leecher, and looks for a manifest.

    One that has its images goes on: it was another program on that machine.
    """
    if boot.outcome in (Outcome.UP, Outcome.VERIFIED):
        text = f"a program on it asked for channel {channel}, which this site does not have"
        return replace(boot, faults=with_fault(boot.faults, Fault(now_s, text)), heard_s=now_s)
    if boot.outcome is not Outcome.OPEN:
        boot = again(boot)
    is_under_way = any(name in boot.phases for name in _TOLD_PHASES)
    phases = boot.phases if is_under_way else _begun(boot.phases, "manifest", now_s)
    return replace(boot, missed=channel, channel=boot.channel or channel, phases=phases, heard_s=now_s)


def again(boot: Boot) -> Boot:
    """Return a boot that tries once more: what its last try was of, and how far that came, is over."""
    phases = {name: span for name, span in boot.phases.items() if name in STAGE0_PHASES}
    return replace(
        boot, outcome=Outcome.OPEN, phases=phases, sequence=0, channel="", profile="", bytes_from={}, have_bytes=0,
        total_bytes=0, gained_s=0.0, is_starving=False, missed="", refused="",
    )  # fmt: skip


def announced(boot: Boot, heard: Heard, *, now_s: float) -> Boot:
    """Return a boot whose node has announced itself."""
    if heard.state is NodeState.FETCHING and boot.outcome in (Outcome.FAILED, Outcome.LEFT):
        boot = again(boot)
    phases, outcome = boot.phases, boot.outcome
    if outcome is Outcome.FAILED or (outcome is Outcome.LEFT and heard.state is not NodeState.LEAVING):
        outcome = Outcome.OPEN
        phases = {name: span for name, span in phases.items() if name in STAGE0_PHASES}
    is_another = heard.node not in boot.nodes
    if outcome is Outcome.OPEN and heard.state is NodeState.FETCHING and "verification" not in phases:
        phases = _begun(phases, "images", now_s)
    elif heard.state is NodeState.COMPLETE and is_another and outcome in (Outcome.OPEN, Outcome.VERIFIED):
        phases, outcome = _ended(phases, now_s), Outcome.UP  # it has all from the start: it has booted before
    elif outcome is Outcome.OPEN and heard.state is NodeState.COMPLETE:
        phases = _begun(phases, "verification", now_s)
    elif heard.state is NodeState.LEAVING and not (outcome is Outcome.VERIFIED and boot.hands_off):
        phases, outcome = _ended(phases, now_s), Outcome.LEFT
    return replace(
        boot,
        addresses=with_first(boot.addresses, heard.host),
        nodes=with_first(boot.nodes, heard.node),
        rack=heard.rack or boot.rack,
        sequence=heard.sequence or boot.sequence,
        mac=heard.mac or boot.mac,
        boot=heard.boot or boot.boot,
        name=heard.name or boot.name,
        channel=heard.channel or boot.channel,
        kernel=heard.kernel or boot.kernel,
        phases=phases,
        outcome=outcome,
        heard_s=now_s,
        gained_s=boot.gained_s or now_s,
        missed="",
        refused="",
    )


def progressed(
    boot: Boot, *, have_bytes: int, total_bytes: int, bytes_from: Mapping[str, int], is_starving: bool, heard_s: float
) -> Boot:
    """Return a boot whose node has said how far it is."""
    return replace(
        boot,
        have_bytes=have_bytes,
        total_bytes=total_bytes or boot.total_bytes,
        bytes_from=bytes_from if boot.outcome is Outcome.OPEN or not boot.bytes_from else boot.bytes_from,
        gained_s=heard_s if have_bytes > boot.have_bytes else boot.gained_s,
        is_starving=is_starving,
        heard_s=max(heard_s, boot.heard_s),
    )


def reported(boot: Boot, report: BootReport, *, host: str, now_s: float) -> Boot:
    """Return a boot whose node has reported: its images are verified, its system is up, or it has failed."""
    if report.outcome != BOOTED and boot.outcome in (Outcome.FAILED, Outcome.LEFT) and report.node not in boot.nodes:
        boot = again(boot)
    phases, faults = _told(boot, report, now_s), boot.faults
    if report.outcome == FAILED:
        phases, outcome = _ended(phases, now_s), Outcome.FAILED
        faults = with_fault(faults, Fault(now_s, report.error, report.exit_status))
    elif report.outcome == BOOTED or not report.hands_off:
        phases, outcome = _ended(phases, now_s), Outcome.UP
    else:
        phases, outcome = _begun(phases, "services", now_s), Outcome.VERIFIED
    is_whole = report.outcome != FAILED and boot.total_bytes > 0
    return replace(
        boot,
        addresses=with_first(boot.addresses, host),
        nodes=with_first(boot.nodes, report.node if outcome is not Outcome.FAILED or boot.nodes else ""),
        mac=report.mac or boot.mac,
        boot=report.boot or boot.boot,
        name=report.name or boot.name,
        rack=report.rack or boot.rack,
        profile=report.profile or boot.profile,
        sequence=report.sequence or boot.sequence,
        phases=phases,
        outcome=outcome,
        hands_off=boot.hands_off or report.hands_off,
        bytes_from=report.bytes_from if any(report.bytes_from.values()) else boot.bytes_from,
        have_bytes=boot.total_bytes if is_whole else boot.have_bytes,
        hash_failures=max(boot.hash_failures, report.hash_failures),
        rescues=max(boot.rescues, report.rescues),
        faults=faults,
        stage0=kept_text(report.stage0) or boot.stage0,
        channel=report.channel or boot.channel,
        kernel=report.kernel or boot.kernel,
        ram_bytes=report.ram_bytes or boot.ram_bytes,
        bans=tuple(dict.fromkeys((*boot.bans, *report.bans)))[:BANS_MAX],
        heard_s=now_s,
        missed=boot.missed if outcome is Outcome.FAILED else "",
        refused="",
    )


def failed_beside(boot: Boot, report: BootReport, *, now_s: float) -> Boot:
    """Return a booted boot on which another program has reported: what went wrong there is noted, and it stays up."""
    if report.outcome != FAILED:
        return boot
    fault = Fault(now_s, f"a program on it failed: {report.error}", report.exit_status)
    return replace(boot, faults=with_fault(boot.faults, fault), heard_s=now_s)


def _told(boot: Boot, report: BootReport, now_s: float) -> dict[str, Span]:
    """Return the phases with those that a report tells in the place of what was seen of them."""
    phases = dict(boot.phases)
    untold = (begun for name, (begun, _) in phases.items() if name in _TOLD_PHASES and name not in report.phases)
    at_s = min(untold, default=now_s) if report.outcome == FAILED else now_s  # it failed in a phase that was seen
    if report.outcome == BOOTED and "services" in report.phases:
        at_s -= report.phases["services"]
        phases["services"] = (at_s, now_s)
    if report.outcome == BOOTED and "verification" in phases:
        return _with_kernel(boot, phases, report, now_s)
    for name in reversed(_TOLD_PHASES):
        if name in report.phases:
            phases[name] = (at_s - report.phases[name], at_s)
            at_s -= report.phases[name]
        elif report.outcome != FAILED:
            phases.pop(name, None)
    return _with_kernel(boot, phases, report, now_s)


def _with_kernel(boot: Boot, phases: dict[str, Span], report: BootReport, now_s: float) -> dict[str, Span]:
    """Return the phases with the kernel's: from the end of stage 0, or the kernel's own start, to the leecher's.

    A leecher that somebody runs on a machine which has been up for days is no part of that kernel's start.
    """
    start_s = phases.get("leecher_start", (0.0, None))[0]
    is_a_boot = "stage0" in phases or boot.hands_off or report.hands_off or report.outcome == BOOTED
    if not (start_s and report.uptime_s and is_a_boot):
        return phases
    begun_s = min(now_s - report.uptime_s, start_s)
    if "stage0" in phases:
        granted_s, loaded_s = phases["stage0"]
        begun_s = loaded_s if loaded_s is not None and loaded_s <= start_s else max(begun_s, granted_s)
        phases["stage0"] = (granted_s, begun_s)
    phases["kernel"] = (begun_s, start_s)
    return phases


def _begun(phases: Mapping[str, Span], name: str, now_s: float) -> dict[str, Span]:
    """Return phases in which this one has begun, once, and every other has ended."""
    return (
        {name: (now_s, None), **_ended(phases, now_s, but=name)}
        if name not in phases
        else dict(_ended(phases, now_s, but=name))
    )


def _ended(phases: Mapping[str, Span], now_s: float, *, but: str = "") -> dict[str, Span]:
    """Return phases that have all ended."""
    return {name: (begun, now_s if end is None and name != but else end) for name, (begun, end) in phases.items()}
