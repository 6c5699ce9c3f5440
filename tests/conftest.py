"""What every test shares: which tests are left out on this machine, and that the run says so in plain words."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import hypercorn.trio  # noqa: F401 - whole: once leecher.machine.lean_start is imported, h2 is not there for whoever comes later
import pytest
from hypothesis import settings

PACKAGES = Path(__file__).parent.parent / ".ci" / "debian-packages"

# No test is timed, so no example has a deadline; a failing example prints what reproduces it.
settings.register_profile("gate", deadline=None, print_blob=True)
settings.load_profile("gate")


def restore_signals() -> None:
    """Let programs that tests start hear the signals that whoever started the tests ignores.

    A shell without job control starts background jobs with SIGINT and SIGQUIT ignored, nohup(1) with SIGHUP; both go on
    to every child (execve(2)). Python's own handlers do not. The tests themselves go on passing over SIGHUP.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            ends = signal.default_int_handler if number == signal.SIGINT else _pass_over
            signal.signal(number, ends)


def _pass_over(_number: int, _frame: object) -> None:
    """Do nothing."""


def pytest_configure() -> None:
    """Restore signals before anything is started."""
    restore_signals()


def package_of(program: str) -> str:
    """Return the Debian package that `.ci/debian-packages` names for a program; raise LookupError without one."""
    for line in PACKAGES.read_text().splitlines():
        package, _, rest = line.partition(" ")
        if package != "#" and rest.split()[0] == program:
            return package
    raise LookupError(f"no line of {PACKAGES} names the program {program}")


def is_here(program: str, *, path: str) -> bool:
    """Return whether a program, or a file given with its whole path, is on this machine."""
    return Path(program).exists() if program.startswith("/") else shutil.which(program, path=path) is not None


def reason_to_leave_out(item: pytest.Item) -> str:
    """Return why this machine cannot run a test, or nothing; raise LookupError for a program of no known package."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        return "they need root"
    programs = [program for marker in item.iter_markers("needs") for program in marker.args]
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    missing = sorted({package_of(program) for program in programs if not is_here(program, path=path)})
    return f"they need {', '.join(missing)}, not installed here" if missing else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that this machine cannot run."""
    for item in items:
        if reason := reason_to_leave_out(item):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were left out and why, one line a reason."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else "for no stated reason"
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"left out {count} test{'s' if count > 1 else ''}: {reason}", yellow=True)
