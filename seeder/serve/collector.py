"""When the interpreter looks for circles of garbage: seldom, and never through all that the seeder knows at once.

Requests leave hardly any circles, and what they do leave is young; but the collector looks through everything it has
not been told to exempt, again and again, and nobody is answered meanwhile: 10 to 50 ms for its middle generation with
2,000 nodes, 180 ms for the oldest. So what is older than half a second is exempted (`gc.freeze`), and all of it looked
through when the process has grown by a quarter, or every ten minutes. (How many objects are exempt is no measure:
`gc.get_freeze_count` walks through them, 37 ms for those nodes.)
"""

from __future__ import annotations

import gc
import resource
from pathlib import Path

import trio

FREEZE_S = 0.5
WHOLE_S = 600.0
_YOUNG = 3_000
_SPARE_BYTES = 16 << 20
"""What a process may grow by before a look through all is worth it."""

_STATM = Path("/proc/self/statm")


def is_whole_due(resident_bytes: int, before_bytes: int, since_s: float) -> bool:
    """Return whether all is to be looked through; `before_bytes` were resident after the last time, `since_s` ago."""
    return since_s >= WHOLE_S or resident_bytes > before_bytes * 5 // 4 + _SPARE_BYTES


def settle() -> int:
    """Look through everything, exempt what lives on, look at new objects less often; return the resident bytes."""
    gc.set_threshold(_YOUNG, 10, 10)
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    return resident_bytes()


def resident_bytes() -> int:
    """Return how much memory this process has (proc(5), statm)."""
    return int(_STATM.read_text().split()[1]) * resource.getpagesize()


async def run() -> None:
    """Keep the collector from what is old, until cancelled."""
    before_bytes, looked_s = settle(), trio.current_time()
    while True:
        await trio.sleep(FREEZE_S)
        gc.freeze()
        if is_whole_due(resident_bytes(), before_bytes, trio.current_time() - looked_s):
            before_bytes, looked_s = settle(), trio.current_time()
