"""The fleet as lines of text for a terminal of some width. Pure: values of the API in, lines out.

Nothing is said by colour alone: states are words, and marks before them (`!` failed, `?` stuck). What nodes have said
of themselves is made printable. A line is never longer than the width.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from seeder.log import plain
from seeder.record.policy.boot import PHASES
from swarmboot.text.units import format_duration, format_rate, format_size

Values = Mapping[str, Any]
_SOURCES = {"origin": "the origin", "cache": "its own cache"}
LEAST_WIDTH = 40
_STATES = ("up", "booting", "stuck", "failed", "gone")
_CELLS = {"up": "#", "booting": "=", "stuck": "?", "failed": "!", "gone": "."}
_MARKS = {"failed": "!", "stuck": "?"}
_LISTED, _MACS = 8, 3
_WIDE_ENOUGH = 100
"""Where lines are shorter there is no room for a table."""


def status(fleet: Values, *, where: str, width: int, height: int = 0) -> list[str]:
    """Return the fleet on one screen; `height` 0 shows all that there is."""
    nodes = fleet["nodes"]
    counts = ", ".join(f"{nodes.get(state, 0)} {state}" for state in _STATES if nodes.get(state) or state != "gone")
    lines = [*_paragraph(f"{clock(fleet['time'])}  ", where, width), f"{how_many(nodes['total'])}: {counts}"]
    if nodes["total"]:
        lines.append(bar(nodes, width=width))
    busy = [f"{name} {nodes[name]}" for name in PHASES if nodes.get(name)]
    if busy:
        lines.append("in phases: " + ", ".join(busy))
    limit = fleet.get("uplink_limit_bytes_per_s", 0)
    if limit:
        now = format_rate(fleet["uplink_bytes_per_s"])
        lines.append(f"uplink {now} of {format_rate(limit)}, {fleet['copies_sent']:.2f} copies sent")
    if fleet.get("history_lost"):
        lines.append(f"! {fleet['history_lost']} records could not be written: is the disk full?")
    without = fleet.get("without_address") or {"total": 0}
    if without["total"]:
        lines += _paragraph("! ", _no_address(without), width)
    listed = _LISTED if not height else max(2, (height - len(lines) - 8) // 3)
    for title, name in (("FAILED", "failed"), ("STUCK", "stuck"), ("SLOWEST", "slowest")):
        found = fleet.get(name, ())
        if found:
            more = nodes.get(name, len(found)) - listed
            lines += ["", title, *(brief_line(node, width=width) for node in found[:listed])]
            lines += [f"  and {more} more: swarmboot nodes --{name}"] if more > 0 and name != "slowest" else []
    lines += _releases(fleet)
    return fit(lines, width)


def _no_address(without: Values) -> str:
    """Return what to say of machines for which DHCP has no address left."""
    total, macs = without["total"], without["macs"][-_MACS:]
    named = ", ".join(macs) + (", ..." if total > len(macs) else "")
    machines = "1 machine" if total == 1 else f"{total} machines"
    mend = "give a larger --dhcp-range, or leases that end sooner"
    return f"DHCP has no address left for {machines} ({named}): {mend}"


def _releases(fleet: Values) -> Iterator[str]:
    if fleet.get("releases"):
        yield from ("", "RELEASES")
    for each in fleet.get("releases", ())[:_LISTED]:
        channels = ", ".join(each["channels"]) or "no channel"
        yield f"  {each['sequence']} {each['name']} ({channels}): {how_many(each['nodes'])}"
    for each in fleet.get("canaries", ()):
        own, others = _states(each["nodes"]), _states(each["others"])
        yield f"  canary {each['channel']} ({each['who']}): {own}; the others: {others}"
    ends = sorted(fleet.get("ends", ()), key=lambda each: float(each["unix_s"]))
    if ends:
        left_s = ends[0]["unix_s"] - fleet["time"]
        when = f"in {left_s / 86400:.0f} days" if left_s > 0 else "is over"
        yield f"  ends first: {day(ends[0]['unix_s'])} ({when}), {ends[0]['what']}"


def _states(nodes: Values) -> str:
    """Return how many are up, and how many are not as they should be."""
    shown = (f"{nodes.get(state, 0)} {state}" for state in _STATES if nodes.get(state) or state in ("up", "failed"))
    return ", ".join(shown)


def how_many(nodes: int) -> str:
    """Return a number of nodes in words."""
    return f"{nodes} node" if nodes == 1 else f"{nodes} nodes"


def bar(nodes: Values, *, width: int) -> str:
    """Return a bar of the states' shares, one sign each; a state that is there has a cell at least."""
    cells = max(10, min(width, 100) - 2)
    total = max(1, nodes["total"])
    shares = {state: max(1, nodes[state] * cells // total) if nodes.get(state) else 0 for state in _STATES}
    largest = max(shares, key=lambda state: shares[state])
    shares[largest] += cells - sum(shares.values())
    return "[" + "".join(_CELLS[state] * shares[state] for state in _STATES) + "]"


def _narrow_lines(node: Values, *, width: int) -> list[str]:
    """Return one node as lines: how it stands, and its cause in lines of its own."""
    return [node_line(node), *(_paragraph("    ", node["cause"], width) if node["cause"] else [])]


def node_line(node: Values) -> str:
    """Return one node as a line: a mark, its rack, its name, where it is, and how it stands."""
    mark = _MARKS.get(node["state"], " ")
    who = node["name"] or node["mac"] or node["address"] or node["id"]
    where = node["address"] if node["address"] != who else ""
    share = f" {node['percent']} %" if node["phase"] == "images" else ""
    how = node["state"] if node["state"] in ("up", "gone", "failed") else f"{node['state']} in {node['phase']}{share}"
    words = filter(None, (node["rack"], who, where))
    return f"{mark} {'  '.join(words)}  {how} {span(node['since_s'])}"


def brief_line(node: Values, *, width: int) -> str:
    """Return one node as a line under its state's name; where that is narrow the cause's kind stands for the cause."""
    mark = _MARKS.get(node["state"], " ")
    who = node["name"] or node["mac"] or node["address"] or node["id"]
    share = f" {node['percent']} %" if node["phase"] == "images" else ""
    phase = f"{node['phase']}{share}, " if node["phase"] and node["state"] != "failed" else ""
    cause = node["cause"] if width >= _WIDE_ENOUGH else node["kind"]
    words = filter(None, (node["rack"], who, node["address"] if node["address"] != who else ""))
    return f"{mark} {'  '.join(words)}  {phase}{span(node['since_s'])}{f': {cause}' if cause else ''}"


def nodes(values: Values, *, width: int, nobody: str = "no node is like that") -> list[str]:
    """Return the nodes as a table, failed and stuck first; the cause stands in a line of its own where it is narrow.

    `nobody` is what is said if there are none.
    """
    found = values["nodes"]
    if not found:
        return [nobody]
    head = ("", "RACK", "NODE", "ADDRESS", "RELEASE", "STATE", "PHASE", "SINCE", "%")
    rows = [head, *map(_cells, found)]
    if width < _WIDE_ENOUGH:
        return fit((line for node in found for line in _narrow_lines(node, width=width)), width)
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for row, cause in zip(rows, ["CAUSE", *(node["cause"] for node in found)], strict=True):
        cells = (cell.ljust(wide) for cell, wide in zip(row, widths, strict=True))
        lines.append(f"{' '.join(cells)} {cause}".rstrip())
    return fit(lines, width)


def _cells(node: Values) -> tuple[str, ...]:
    who = node["name"] or node["mac"] or node["id"]
    release = f"{node['release']} {node['channel']}".strip() if node["release"] else node["channel"]
    mark = _MARKS.get(node["state"], " ")
    values = (mark, node["rack"], who, node["address"], release, node["state"], node["phase"], span(node["since_s"]))
    return (*map(plain, values), str(node["percent"]))


def story(values: Values, *, width: int) -> list[str]:
    """Return one boot's story: who, how it stands, why, what to do, its phases as a waterfall, its faults."""
    name = values["name"] or values["mac"] or values["address"] or values["id"]
    who = "  ".join(dict.fromkeys(filter(None, (name, values["mac"], *values["addresses"]))))
    rack = f"  rack {values['rack']}" if values["rack"] else ""
    mark = _MARKS.get(values["state"], " ")
    how = f" in {values['phase']}" if values["state"] in ("booting", "stuck") else ""
    lines = [f"{who}{rack}", f"{mark} {values['state'].upper()}{how} for {span(values['since_s'])}".strip()]
    lines += _paragraph("why: ", values["cause"] or "nothing is wrong", width)
    if values["advice"]:
        lines += _paragraph("do:  ", values["advice"], width)
    lines += _paragraph("", "; ".join(_facts(values)), width)
    lines += _paragraph("", _namesakes(values), width)
    if values["phases"]:
        lines += ["", *waterfall(values["phases"], now_s=values["time"], width=width)]
    if values["faults"]:
        lines += ["", "what went wrong"]
    for fault in values["faults"]:
        status_ = f" (exit status {fault['exit_status']})" if fault["exit_status"] else ""
        lines += _paragraph(f"  {clock(fault['unix_s'])}  ", f"{fault['text']}{status_}", width)
    if values["earlier"]:
        lines += ["", "this machine's boots before", *(f"  {past_line(each)}" for each in values["earlier"])]
    return fit(lines, width)


def _namesakes(values: Values) -> str:
    """Return which other machines have a machine's name; nothing where there are none, and of an older server."""
    if not values.get("namesakes", {}).get("count"):
        return ""
    count, some = values["namesakes"]["count"], values["namesakes"]["some"]
    more = f", and {count - len(some)} more" if count > len(some) else ""
    are = "1 other machine calls itself" if count == 1 else f"{count} other machines call themselves"
    return f"{are} {values['name']}: {', '.join(some)}{more}; ask for one by its MAC address"


def _facts(values: Values) -> Iterator[str]:
    if values["release"]:
        yield f"release {values['release']}" + (f" of channel {values['channel']}" if values["channel"] else "")
    if values["profile"]:
        yield f"profile {values['profile']}"
    for source, count in sorted(values["bytes_from"].items()):
        yield f"{format_size(count)} from {_SOURCES.get(source, source)}"
    for name, text in (("hash_failures", "pieces failed their hash"), ("rescues", "rescues")):
        if values[name]:
            yield f"{values[name]} {text}"
    if values["kernel"]:
        yield f"kernel {values['kernel']}"
    if values["ram_bytes"]:
        yield f"{format_size(values['ram_bytes'])} RAM"
    yield f"boot {values['boot'] or values['id']}"


def waterfall(phases: Sequence[Values], *, now_s: float, width: int) -> list[str]:
    """Return phases as bars on one scale of time: `=` from start to end, `>` at the end of one that goes on."""
    begun_s = min(phase["start_unix_s"] for phase in phases)
    end_s = max(phase["end_unix_s"] or now_s for phase in phases)
    label = max(len(phase["name"]) for phase in phases)
    cells = max(8, min(width, 110) - label - 24)
    scale = cells / max(0.001, end_s - begun_s)
    lines = []
    for phase in phases:
        until_s = phase["end_unix_s"] or now_s
        first = min(cells - 1, int((phase["start_unix_s"] - begun_s) * scale))
        last = min(cells, max(first + 1, round((until_s - begun_s) * scale)))
        drawn = "=" * (last - first)
        if phase["end_unix_s"] is None:
            drawn = f"{drawn[:-1]}>"
        took = span(max(0.0, until_s - phase["start_unix_s"]))
        goes_on = " so far" if phase["end_unix_s"] is None else ""
        lines.append(f"{phase['name']:<{label}} |{' ' * first}{drawn:<{cells - first}}| {took}{goes_on}")
    return lines


def history(values: Values, *, width: int) -> list[str]:
    """Return boots, the latest first."""
    return fit(map(past_line, values["boots"]), width) or ["no boot was seen yet"]


def past_line(boot: Values) -> str:
    """Return one boot of the history as a line."""
    who = "  ".join(dict.fromkeys(filter(None, (boot["name"] or boot["mac"] or boot["id"], boot["address"]))))
    is_over = boot["ended_unix_s"] and boot["outcome"] not in PHASES
    took = f" in {span(boot['ended_unix_s'] - boot['began_unix_s'])}" if is_over else ""
    mark = "!" if boot["outcome"] == "failed" else " "
    status_ = f" ({boot['exit_status']})" if boot["exit_status"] else ""
    fault = f": {boot['fault']}{status_}" if boot["fault"] else ""
    release = f", release {boot['release']}" if boot["release"] else ""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(boot["began_unix_s"]))
    rack = f"  {boot['rack']}" if boot["rack"] else ""
    return f"{mark} {when}{rack}  {who}  {boot['outcome']}{took}{release}{fault}"


def _paragraph(label: str, text: str, width: int) -> list[str]:
    wide = max(LEAST_WIDTH, width)
    return textwrap.wrap(plain(text), wide, initial_indent=label, subsequent_indent=" " * len(label))


def fit(lines: Iterable[str], width: int) -> list[str]:
    """Return lines printable and no longer than the width."""
    wide = max(LEAST_WIDTH, width)
    printable = (plain(line, most=1 << 16) for line in lines)
    return [line if len(line) <= wide else f"{line[: wide - 1]}…" for line in printable]


def span(seconds: float) -> str:
    """Return a duration: short ones with tenths, long ones in whole seconds."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 48 * 3600:
        return f"{seconds:.0f} s" if seconds < 120 else format_duration(seconds)
    return f"{seconds / 86400:.0f} days"


def clock(unix_s: float) -> str:
    """Return the time of day on this machine."""
    return time.strftime("%H:%M:%S", time.localtime(unix_s))


def day(unix_s: float) -> str:
    """Return a day."""
    return time.strftime("%Y-%m-%d", time.localtime(unix_s))
