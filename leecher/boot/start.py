"""The leecher as a program for an initramfs: settings from flags, the environment and a kernel command line.

`python -m leecher --cmdline "$(cat /proc/cmdline)"`. Standard library only, because click has no place in an initramfs;
`swarmboot fetch` offers the same settings to people.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from leecher.boot.head_start import HeadStart
from leecher.boot.options import BootOptions
from leecher.machine import lean_start
from leecher.machine.console import tell
from swarmboot.errors import SpaceError, SwarmbootError, missing_module
from swarmboot.settings import NAMES, TABLE, NodeSettings, build_settings, parse_cmdline, parse_environment
from swarmboot.text.spelling import did_you_mean, nearest

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from leecher.boot.boot import Boot
    from leecher.boot.reports.log_sender import LogSource

_INTERRUPTED = 130
_OURS, _SERVERS = "SWARMBOOT_", "SWARMBOOT_SERVE_"
"""What variables of settings begin with, and those of `swarmboot serve`, which says itself what is wrong with them."""


def settings_from(cmdline: str, flags: Mapping[str, str]) -> NodeSettings:
    """Return the settings: flags over the environment over the kernel command line; raises SettingsError."""
    for note in environment_notes(os.environ):
        tell(note)
    return build_settings(parse_cmdline(cmdline), parse_environment(os.environ), flags)


def environment_notes(environment: Iterable[str]) -> list[str]:
    """Return a line for each variable that is no setting's and nearly is; others' variables are their own affair."""
    named = (name for name in environment if name.startswith(_OURS) and not name.startswith(_SERVERS))
    odd = sorted(name for name in named if name[len(_OURS) :].lower() not in NAMES)
    pairs = ((name, nearest(name[len(_OURS) :], (setting.name for setting in TABLE))) for name in odd)
    return [f"{name} is no setting: did you mean {_OURS}{meant.upper()}?" for name, meant in pairs if meant]


def options_for(settings: NodeSettings, started_s: float) -> BootOptions:
    """Return how a boot with these settings is run outside of an initramfs."""

    def log() -> LogSource | None:
        from leecher.boot.reports.log_sender import LogSource
        from leecher.machine.kernel_log import open_kernel_log

        return LogSource(open_kernel_log(settings.log)) if settings.log else None

    return BootOptions(settings, started_s, log=log)


def boot(options: BootOptions) -> Boot:
    """Boot as `leecher.boot.run.run` does, with a head start: what is asked first needs no trio.

    It must be whole when `swarmboot.timeout` is over, counted from now.
    """
    settings = options.settings
    options = replace(options, ends_s=time.monotonic() + (settings.timeout_s or math.inf))
    head_start = HeadStart(options).begin() if settings.server and settings.trust else None
    try:
        if head_start is not None:
            head_start.wait(options.ends_s)
        lean_start.import_trio()
        from leecher.boot.run import run

        lean_start.settle()
        return run(options, head_start)
    finally:
        if head_start is not None:
            head_start.abandon()  # Python ends a process whose other threads are in a C++ library with an abort


def main(started_s: float) -> NoReturn:
    """Parse the arguments, boot, and exit with the error's own status (see `swarmboot.errors`)."""
    arguments = _parse()
    try:
        flags = {
            setting.name: value if isinstance(value, str) else ",".join(value) if setting.is_repeatable else value[-1]
            for setting in TABLE
            if (value := arguments[setting.name]) is not None
        }
        boot(options_for(settings_from(arguments["cmdline"], flags), started_s))
    except KeyboardInterrupt:
        tell("stopped")
        sys.exit(_INTERRUPTED)
    except ModuleNotFoundError as error:
        refusal: SwarmbootError = missing_module(error)
        tell(str(refusal))
        sys.exit(refusal.exit_status)
    except SwarmbootError as error:
        tell(str(error))
        sys.exit(error.exit_status)
    except OSError as error:
        refusal = SpaceError(f"{error.filename or 'the images'}: {error.strerror or error}")
        tell(str(refusal))
        sys.exit(refusal.exit_status)
    sys.exit(0)


def _parser() -> ArgumentParser:
    """Return a parser without arguments; argparse is imported for a command line alone, which a node has none of."""
    import argparse

    class Parser(argparse.ArgumentParser):
        """Refuses in one line, as the rest of this program does, and not below a list of all options."""

        def error(self, message: str) -> NoReturn:
            """End the program with the line and status 2."""
            tell(f"{message}; `python -m {self.prog} --help` says more")
            sys.exit(2)

    return Parser(prog="leecher", description="Fetch a release from neighbours and the seeder.")


def _parse() -> dict[str, Any]:
    """Return the arguments by name; end the program with a line about one that is unknown."""
    parser = _parser()
    parser.add_argument(
        "--cmdline", default="", help='a kernel command line, as in "swarmboot.server=https://HOST:PORT"'
    )
    for setting in TABLE:
        is_switch = setting.name in ("linger", "discovery", "lazy", "trace")
        parser.add_argument(
            *setting.flags,
            dest=setting.name,
            help=f"{setting.help}, as in {setting.example}".replace("%", "%%"),  # argparse fills in what a % begins
            metavar="VALUE",
            **({"nargs": "?", "const": "on"} if is_switch else {"action": "append"}),  # type: ignore[arg-type]
        )
    known, unknown = parser.parse_known_args()
    if unknown:
        flags_known = [flag for setting in TABLE for flag in setting.flags]
        meant = did_you_mean(unknown[0].partition("=")[0], flags_known)
        parser.error(f"leecher takes no argument {unknown[0]}{meant and f'; {meant}'}")
    return vars(known)


def process_started_s() -> float:
    """Return when this process began, on the monotonic clock, from /proc/self/stat (proc(5), field 22)."""
    with open("/proc/self/stat") as file:  # noqa: PTH123 - pathlib is not imported yet, and this is the start-up path
        ticks = int(file.read().rpartition(")")[2].split()[19])
    since_boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic() - (since_boot_s - ticks / os.sysconf("SC_CLK_TCK"))
