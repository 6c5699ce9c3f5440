"""Start real programs inside namespaces, learn exactly when they end, what they cost, and end them by id.

Every child leads its own process group and dies with the lab (prctl PR_SET_PDEATHSIG), so that even a lab that was
killed with SIGKILL leaves no node running. It will not restart anything.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from netsim.lab.rack.namespaces import NETNS_FOLDER, TOOL_ENVIRONMENT
from netsim.lab.rack.signals import uninterrupted
from swarmboot.errors import LabError

if TYPE_CHECKING:
    from types import TracebackType

_GRACE_S = 5.0
_SAMPLE_EVERY_S = 0.1
_TAIL_BYTES = 4096


@dataclass(slots=True)
class Child:
    """One program that the lab started. Times are seconds since the epoch."""

    name: str
    log_path: Path
    popen: subprocess.Popen[bytes]
    pidfd: int
    started_s: float
    ended_s: float | None = None
    exit_status: int | None = None
    """The status, or minus the signal that ended it, or None while it runs."""
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0

    def last_words(self) -> str:
        """Return the last line that the program printed."""
        with contextlib.suppress(OSError):
            lines = self.log_path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip().splitlines()
            return lines[-1] if lines else "no message"
        return "no log"

    def sample_memory(self) -> None:
        """Raise `peak_rss_bytes` to the kernel's high-water mark (proc(5), VmHWM).

        wait4's ru_maxrss would count the lab's own memory, which the child shares until it calls exec.
        """
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.popen.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.peak_rss_bytes = max(self.peak_rss_bytes, int(line.split()[1]) * 1024)


@dataclass(slots=True)
class Crew:
    """All children of one run, while its context is open; on exit every one of them is ended and reaped."""

    children: list[Child] = field(default_factory=list)
    _poll: select.poll = field(default_factory=select.poll)
    _sampled_s: float = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str, argv: tuple[str, ...], *, netns: str, log_path: Path) -> Child:
        """Start a program in a namespace, its output going to `log_path`; return at once."""
        wrapped = ("setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={NETNS_FOLDER / netns}", "--", *argv)
        with log_path.open("wb") as log:
            started_s = time.time()
            popen = subprocess.Popen(
                wrapped, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=log_path.parent,
                env=TOOL_ENVIRONMENT,
            )  # fmt: skip
            child = Child(name, log_path, popen, os.pidfd_open(popen.pid), started_s)
            self.children.append(child)
        self._poll.register(child.pidfd, select.POLLIN)
        return child

    def wait(self, timeout_s: float) -> None:
        """Return when a child has ended or `timeout_s` has passed; sample the memory of those that run."""
        ended = {descriptor for descriptor, _ in self._poll.poll(max(0, round(timeout_s * 1000)))}
        now_s = time.time()
        for child in self._running():  # a descriptor's number may be another child's by now
            if child.pidfd in ended:
                self._reap(child, now_s)
        if now_s - self._sampled_s >= _SAMPLE_EVERY_S:
            self._sampled_s = now_s
            for child in self._running():
                child.sample_memory()

    def kill(self, child: Child) -> None:
        """Kill one child's process group with SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.popen.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End all children: SIGTERM, `_GRACE_S` seconds, SIGKILL. Returns when every one is reaped, in 10 s at most."""
        with uninterrupted():
            for child in self._running():
                child.sample_memory()
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.popen.pid, signal.SIGTERM)
            deadline_s = time.monotonic() + _GRACE_S
            while self._running() and time.monotonic() < deadline_s:
                self.wait(deadline_s - time.monotonic())
            for child in self._running():
                self.kill(child)
            deadline_s = time.monotonic() + _GRACE_S
            while self._running() and time.monotonic() < deadline_s:
                self.wait(deadline_s - time.monotonic())

    def cpu_s(self) -> float:
        """Return the processor seconds, user and system, of all children that have ended and of their children."""
        return sum(child.cpu_s for child in self.children)

    def _running(self) -> list[Child]:
        return [child for child in self.children if child.exit_status is None]

    def _reap(self, child: Child, now_s: float) -> None:
        self.kill(child)  # whatever its group still holds; the leader is a zombie now, so its id is still its own
        self._poll.unregister(child.pidfd)
        os.close(child.pidfd)
        _, status, usage = os.wait4(child.popen.pid, 0)
        child.ended_s = now_s
        child.exit_status = child.popen.returncode = os.waitstatus_to_exitcode(status)
        child.cpu_s = usage.ru_utime + usage.ru_stime


def is_listening(child: Child, port: int) -> bool:
    """Return whether some socket in the child's namespace listens on a TCP port (proc(5), net/tcp, state 0A)."""
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            rows = [line.split() for line in Path(f"/proc/{child.popen.pid}/net/{table}").read_text().splitlines()[1:]]
            if any(row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port for row in rows):
                return True
    return False


def failure_of(child: Child) -> LabError:
    """Return the error for a child that ended when it should not have, with its last words."""
    return LabError(
        f"{child.name} ended by itself",
        expected="exit status 0" if child.exit_status else "that it stays until it is stopped",
        found=f"status {child.exit_status}: {child.last_words()}",
    )
