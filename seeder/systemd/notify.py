"""Tell systemd how the service is: ready, alive, stopping (sd_notify(3), sd_watchdog_enabled(3)).

Says nothing where nobody has asked, which is where `$NOTIFY_SOCKET` is not set. It will not read anything.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

import trio

READY, STOPPING = "READY=1", "STOPPING=1"
_ALIVE = "WATCHDOG=1"


def tell(*lines: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send assignments, `READY=1` or `STATUS=text`, to systemd; raises OSError if its socket cannot be reached.

    Never waits: what systemd is too busy to take is lost.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # An address that begins with @ is in the abstract name space (unix(7)).
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_UNIX, kind) as speaker, contextlib.suppress(BlockingIOError):
        speaker.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        speaker.send("\n".join(lines).encode())


def watchdog_s(environ: Mapping[str, str] = os.environ, *, pid: int | None = None) -> float:
    """Return the silence, in seconds, after which systemd ends this process, or 0 if it does not watch it."""
    microseconds, meant = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    is_meant = meant in ("", str(os.getpid() if pid is None else pid))
    return int(microseconds) / 1e6 if microseconds.isdigit() and is_meant else 0.0


async def stay_alive() -> None:
    """Say twice in each watchdog interval that the event loop still turns; return at once if nobody watches."""
    interval_s = watchdog_s()
    while interval_s:
        tell(_ALIVE)
        await trio.sleep(interval_s / 2)
