"""The clock of a machine without a battery: never earlier than the day its initramfs was built.

TLS fails on a clock that says 1970, and nothing here can know the right time; but the build time is in the past for
certain. It will not ask anybody for the time: what a node boots depends on signatures and sequence numbers, not on it.
"""

from __future__ import annotations

import time


def missing_s(now_unix_s: float, *, built_unix_s: int) -> float:
    """Return by how many seconds the clock is too early, 0 if it may be right."""
    return max(0.0, built_unix_s - now_unix_s)


def clamp(built_unix_s: int) -> str:
    """Set the clock to `built_unix_s` if it is earlier; return a line for the console about it, or nothing."""
    now_unix_s = time.time()
    if not missing_s(now_unix_s, built_unix_s=built_unix_s):
        return ""
    said, set_to = (time.strftime("%Y-%m-%d", time.gmtime(unix_s)) for unix_s in (now_unix_s, built_unix_s))
    try:
        time.clock_settime(time.CLOCK_REALTIME, built_unix_s)
    except OSError as error:
        return f"the clock says {said} and cannot be set: {error.strerror}"
    return f"the clock says {said}, before this initramfs was built; set to {set_to}"
