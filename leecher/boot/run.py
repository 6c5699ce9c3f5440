"""One boot as trio's main task, stopped by signals."""

from __future__ import annotations

import math
import signal

import trio

from leecher.boot.boot import Boot
from leecher.boot.head_start import HeadStart
from leecher.boot.reporting import FirstWord
from leecher.machine.console import tell
from leecher.origin.nursery import open_nursery
from swarmboot.settings import NodeSettings


def run(
    settings: NodeSettings,
    *,
    started_s: float,
    ends_s: float = math.inf,
    head_start: HeadStart | None = None,
    is_unpacked: bool = False,
    credentials: str = "",
    first_word: FirstWord | None = None,
) -> Boot:
    """Boot with these settings and return the boot; raises the SwarmbootError that ended it.

    `is_unpacked` says that the images will be unpacked in RAM, so that room is asked for that as well.

    `ends_s` is when it must be whole, on the monotonic clock. SIGINT and SIGTERM stop it cleanly.

    A stop before the images are complete raises KeyboardInterrupt; what has been fetched stays for the next run.
    """
    boot = Boot(
        settings,
        head_start=head_start,
        started_s=started_s,
        ends_s=ends_s,
        tell=tell,
        is_unpacked=is_unpacked,
        credentials=credentials,
        first_word=first_word,
    )

    async def main() -> None:
        stop = trio.Event()
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with open_nursery() as nursery:

                async def watch_signals() -> None:
                    async for _ in signals:
                        stop.set()

                nursery.start_soon(watch_signals)
                await boot.run(stop)
                nursery.cancel_scope.cancel()

    trio.run(main)
    if not boot.counters.is_complete:
        raise KeyboardInterrupt
    return boot
