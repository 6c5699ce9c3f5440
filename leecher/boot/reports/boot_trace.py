"""What one boot reads of its images, kept until its system has come up, and handed to the seeder (`swarmboot.trace`).

The lazy window sees every read; so it is held open until the booted system says that it is up, by a mark that the
neighbour in it leaves, and somewhat longer. A system that never says so is waited for five minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import trio

from leecher.origin.client import Origin
from leecher.swarm.counters import BootCounters
from swarmboot.backoff import Backoff
from swarmboot.errors import OriginError, TransferError
from swarmboot.release.trace import Read, format_trace
from swarmboot.settings import NodeSettings
from swarmboot.wire.announce import WIRE_TYPE
from swarmboot.wire.trace_report import TEXT_MAX_BYTES, TRACE_PATH, NodeTrace, encode_trace

UP = "stage0/.up"
"""The mark, in the folder beside the images' that whoever is in the booted system may write to."""
_BOOTED_S, _SETTLED_S, _LOOK_S = 300.0, 5.0, 0.5
_TRIES, _POST_S = 5, 20.0
_PAUSE_S, _PAUSE_MAX_S = 3.0, 30.0


def mark_as_up(state: Path) -> None:
    """Leave the mark; whoever else has done so ends a trace early, and nothing more."""
    with suppress(OSError):
        os.close(os.open(state / UP, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


class BootTrace:
    """The reads of one boot, by the images' names. `settled_s` is for how long it goes on once the system is up."""

    def __init__(self, state: Path, *, booted_s: float = _BOOTED_S, settled_s: float = _SETTLED_S) -> None:
        self._state = state
        self._booted_s = booted_s
        self._settled_s = settled_s
        self._touched: list[tuple[int, Read]] = []

    def touch(self, words: str) -> None:
        """Take note of a read, said as the server of reads says it."""
        image, first_byte, size_bytes = map(int, words.split())
        self._touched.append((image, Read(first_byte, size_bytes)))

    async def until_up(self, check: Callable[[], None]) -> None:
        """Wait until the booted system has come up, or will not; `check` is called meanwhile."""
        until_s = trio.current_time() + self._booted_s
        while trio.current_time() < until_s and not self._is_up():
            check()
            await trio.sleep(_LOOK_S)
        await trio.sleep(self._settled_s)

    def _is_up(self) -> bool:
        return os.path.lexists(self._state / UP)

    def text(self, names: Sequence[str], sizes: Sequence[int]) -> str:
        """Return the trace, cut where it would be longer than a seeder takes; a read ends where its image does."""
        reads = (
            (names[image], Read(read.first_byte, min(read.size_bytes, sizes[image] - read.first_byte)))
            for image, read in self._touched
        )
        text = format_trace(each for each in reads if each[1].size_bytes > 0)
        return text[: text.rfind("\n", 0, TEXT_MAX_BYTES) + 1]


async def hand_in(
    origin: Origin, settings: NodeSettings, counters: BootCounters, text: str, *, tell: Callable[[str], None]
) -> None:
    """Hand a trace to the seeder, and say whether it was taken."""
    if not settings.server:
        return
    prover = counters.proving.node(counters.node)
    body = encode_trace(NodeTrace(counters.node, counters.sequence, text, counters.key))
    backoff, last = Backoff(Random(counters.node), first_s=_PAUSE_S, max_s=_PAUSE_MAX_S), ""
    for _ in range(_TRIES):
        try:
            await origin.post(
                f"{settings.server}{TRACE_PATH}", body, media_type=WIRE_TYPE, max_bytes=4096, timeout_s=_POST_S,
                prover=prover,
            )  # fmt: skip
        except OriginError as error:
            last = str(error)
            if "503" not in last:
                break
        except TransferError as error:
            last = str(error)
        else:
            tell(f"what this boot has read was handed to the seeder: {text.count(chr(10)) - 1} reads")
            return
        await trio.sleep(backoff.next_s())
    tell(f"what this boot has read was not taken by the seeder: {last}")
