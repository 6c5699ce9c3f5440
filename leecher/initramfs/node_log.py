"""What this boot says, handed to the seeder by one program after the other: fetch, report, and the seed at last.

The kernel's own log holds all of it, for what swarmboot says in the initramfs is written there too, on a level that
consoles do not show. How far the seeder has it stands beside the hand-off, so that whoever is next goes on from there.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from leecher.boot.hand_off import FOLDER
from leecher.origin.connection_pool import Connections
from swarmboot.crypto.fleet_token import Prover
from swarmboot.ids import NodeId, NodeKey

if TYPE_CHECKING:
    from leecher.boot.reports.log_sender import LogSource

CURSOR = "log"
_LISTEN_FD = 3
"""The first descriptor that systemd passes (sd_listen_fds(3)): the kernel's log, opened by it (seed.socket)."""


def mirror(line: str) -> None:
    """Write a line of swarmboot's into the kernel's log as well."""
    from leecher.machine.kernel_log import KMSG, write_line

    write_line(KMSG, f"swarmboot: {line}")


def kernels_lines(state: Path) -> LogSource:
    """Return what of the kernel's log the seeder does not have yet; `state` is the hook's own folder."""
    from leecher.boot.reports.log_sender import LogSource
    from leecher.machine.kernel_log import KMSG, open_kernel_log

    cursor = state / FOLDER / CURSOR

    def note(number: int) -> None:
        cursor.write_text(f"{number}\n")

    return LogSource(open_kernel_log(KMSG, after=_noted(cursor)), note, has_own=False)


def seeds_lines(state: Path) -> LogSource:
    """Return the same and a neighbour's own lines; it is root still, or was passed the kernel's log."""
    from leecher.boot.reports.log_sender import LogSource
    from leecher.machine.kernel_log import KMSG, KernelLog, open_kernel_log

    after = _noted(state / FOLDER / CURSOR)
    is_passed = os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDNAMES") == "kmsg"
    return LogSource(KernelLog(_LISTEN_FD, after=after) if is_passed else open_kernel_log(KMSG, after=after))


def _noted(cursor: Path) -> int:
    try:
        return int(cursor.read_text())
    except (OSError, ValueError):
        return -1


def send_rest(
    server: str, connections: Connections, node: NodeId, prover: Prover | None, *, state: Path, within_s: float
) -> None:
    """Hand in what is left, as a node that never announced, within so many seconds."""
    from leecher.boot.reports.log_sender import LogSender, Speaker

    speaker = Speaker(node, NodeKey(b""), prover)
    LogSender(server, connections, kernels_lines(state), lambda: speaker, Random(node)).flush(within_s)
