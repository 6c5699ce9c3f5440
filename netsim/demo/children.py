"""The programs that a demo starts: their output goes to files, and every one is ended and reaped with its context.

A child dies with the demo even if that is killed (prctl PR_SET_PDEATHSIG, by setpriv(1)). Nothing is restarted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from netsim.lab.rack.signals import uninterrupted
from swarmboot.errors import LabError
from swarmboot.host.programs import run_program

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_GRACE_S = 5.0
_VERB_BOUND_S = 900
_DYING_WITH = ("setpriv", "--pdeathsig", "KILL", "sh", "-c", 'test "$PPID" = "$0" && exec "$@"')
"""With the demo's process id and a program: runs it unless the demo died before the kernel was told."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running program and the files that its two outputs go to."""

    name: str
    popen: subprocess.Popen[bytes]
    output: Path
    complaints: Path

    def check_alive(self) -> None:
        """Raise LabError with the program's last words if it has ended."""
        status = self.popen.poll()
        if status is not None:
            words = self.complaints.read_text(errors="replace").strip().splitlines() or ["no message"]
            raise LabError(
                f"{self.name} ended by itself", expected="that it stays", found=f"status {status}: {words[-1]}"
            )


@dataclass(slots=True)
class Children:
    """All programs of one demo while its context is open."""

    running: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted():
            self._signal(signal.SIGTERM)
            deadline_s = time.monotonic() + _GRACE_S
            for child in self.running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.popen.wait(max(0.0, deadline_s - time.monotonic()))
            self._signal(signal.SIGKILL)
            for child in self.running:
                child.popen.wait()

    def start(self, name: str, *arguments: str, logs: Path) -> Child:
        """Start `python -m ARGUMENTS` and return at once; its outputs go to NAME.out and NAME.err under `logs`."""
        bound_to_us = (*_DYING_WITH, str(os.getpid())) if shutil.which("setpriv") else ()
        output, complaints = logs / f"{name}.out", logs / f"{name}.err"
        with output.open("wb") as out, complaints.open("wb") as err:
            popen = subprocess.Popen(
                (*bound_to_us, sys.executable, "-m", *arguments),
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
            )  # fmt: skip
        child = Child(name, popen, output, complaints)
        self.running.append(child)
        return child

    def _signal(self, number: signal.Signals) -> None:
        for child in self.running:
            if child.popen.poll() is None:
                os.killpg(child.popen.pid, number)


def run_verb(*arguments: str) -> str:
    """Run one swarmboot verb to its end and return what it printed; raise LabError with its last line if it fails."""
    command = (sys.executable, "-m", "swarmboot", *arguments)
    return run_program(command, bound_s=_VERB_BOUND_S, failure=LabError, what=f"`swarmboot {arguments[0]}`")
