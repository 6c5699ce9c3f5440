"""What a node says as a line: a datagram of syslog (RFC 5424, RFC 3164 as iPXE and the kernel's friends write it) or
netconsole (Documentation/networking/netconsole.rst, plain and extended), or what it hands in over HTTPS. Pure: bytes or
a value in, a printable line out, never an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from swarmboot.printable import printable
from swarmboot.wire.node_log import Said

DATAGRAM_MAX, LINE_MAX = 8192, 1024
SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")
"""Names of RFC 5424's severities, in the order of their numbers."""

_PRIORITY = re.compile(r"<([0-9]{1,3})>")
_RFC5424 = re.compile(r"1 \S+ \S+ (\S+) \S+ \S+ (?:-|(?:\[[^\]]*\])+)(?: (.*))?\Z", re.DOTALL)
_RFC3164 = re.compile(r"[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d (?:\S+ )?(.*)\Z", re.DOTALL)
_EXTENDED = re.compile(r"([0-9]{1,4}),[0-9]+,[0-9]+,[^;\n]{1,200};(.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a node said, printable, and how much it matters (a number of SEVERITIES)."""

    text: str
    severity: int = 6


def parse_syslog(data: bytes) -> Line:
    """Return what a syslog message says; one that has no form is taken whole."""
    text = data[:DATAGRAM_MAX].decode("utf-8", "replace")
    match = _PRIORITY.match(text)
    severity = int(match[1]) & 7 if match else 6
    text = text[match.end() :] if match else text
    if found := _RFC5424.match(text):
        program, said = found[1], (found[2] or "").removeprefix("\ufeff")
        return Line(_shown(said if program == "-" else f"{program}: {said}"), severity)
    found = _RFC3164.match(text)
    return Line(_shown(found[1] if found else text), severity)


def parse_netconsole(data: bytes) -> tuple[Line, ...]:
    """Return the lines of a netconsole message; continuation lines, which hold a dictionary, are left out."""
    text = data[:DATAGRAM_MAX].decode("utf-8", "replace")
    if found := _EXTENDED.match(text):
        return (Line(_shown(found[2].partition("\n")[0]), int(found[1]) & 7),)
    return tuple(Line(_shown(each)) for each in text.splitlines() if each.strip())


def posted_line(said: Said) -> Line:
    """Return a line that a node has handed in."""
    return Line(_shown(said.text), said.severity)


def _shown(text: str) -> str:
    """Return a text as one printable line of at most LINE_MAX characters."""
    return printable(text.rstrip("\r\n\0 ")[:LINE_MAX])[:LINE_MAX]
