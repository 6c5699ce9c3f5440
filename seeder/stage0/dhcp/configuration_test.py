"""Has dnsmasq test a configuration, and says of what it does not take where the operator has said it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from seeder.stage0.dhcp.dhcp_options import DhcpOption
from seeder.stage0.dhcp.dnsmasq import DhcpPlan
from swarmboot.errors import MalformedSettingError, ResourceError, SwarmbootError
from swarmboot.host.programs import run_program
from swarmboot.text.spelling import did_you_mean

SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Where dnsmasq is, also for users whose own path has no sbin."""
_BOUND_S = 20
_LINES_MAX, _SHOWN_MAX = 1 << 16, 80
_WHERE = re.compile(r"(?P<what>[^:]+) at line (?P<line>[0-9]+) of (?P<file>.+?)\s*\Z")
_KNOWN = re.compile(r"^\s*[0-9]+ ([a-z0-9-]+)\s*$", re.MULTILINE)


def try_configuration(path: Path, plan: DhcpPlan) -> None:
    """Raise MalformedSettingError if dnsmasq does not take what the operator gave, ResourceError for anything else."""
    try:
        _run("--test", f"--conf-file={path}")
    except ResourceError as error:
        raise _named(error, path, plan) from error


def _run(*arguments: str) -> str:
    environment = {**os.environ, "PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8"}
    return run_program(
        ("dnsmasq", *arguments), bound_s=_BOUND_S, failure=ResourceError, environment=environment,
        what="dnsmasq's test of its configuration", hint=f"see {arguments[-1].removeprefix('--conf-file=')}",
    )  # fmt: skip


def _named(error: ResourceError, path: Path, plan: DhcpPlan) -> SwarmbootError:
    """Return the refusal with the option, or the file and line, that it is about; as it is for what is our own."""
    found = _WHERE.search(error.found)
    if found is None:
        return error
    text = _line(Path(found["file"]), int(found["line"]))
    if plan.more_file and found["file"] == plan.more_file:
        return MalformedSettingError(
            f"dnsmasq does not take {plan.more_file}:{found['line']}, of --dhcp-conf",
            expected="lines as in dnsmasq.conf", found=f"{text[:_SHOWN_MAX]!r}: {found['what'].strip()}",
        )  # fmt: skip
    option = next((each for each in plan.options if each.line == text), None)
    return error if option is None or found["file"] != str(path) else _unknown(option)


def _unknown(option: DhcpOption) -> MalformedSettingError:
    said = ",".join((option.name, *option.values))
    known = [] if option.name.isdecimal() else _KNOWN.findall(_run("--help", "dhcp"))
    if not known or option.name in known:
        return MalformedSettingError("dnsmasq does not take a --dhcp-option", found=said, hint="give it another value")
    hint = did_you_mean(option.name, known, otherwise="`dnsmasq --help dhcp` lists the names")
    return MalformedSettingError("--dhcp-option has a name that dnsmasq does not know", found=said, hint=hint)


def _line(path: Path, number: int) -> str:
    """Return a line of a file that dnsmasq has just read, empty if it cannot be read again."""
    try:
        with path.open(errors="replace") as file:
            lines = file.read(_LINES_MAX).splitlines()
    except OSError:
        return ""
    return lines[number - 1].strip() if number <= len(lines) else ""
