"""One boot as trio's main task, stopped by signals."""

from __future__ import annotations

import signal

import trio

from leecher.boot.boot import Boot
from leecher.boot.head_start import HeadStart
from leecher.boot.options import BootOptions
from leecher.boot.reports.log_sender import log_sent
from leecher.machine.console import tell
from leecher.origin.nursery import open_nursery


def run(options: BootOptions, head_start: HeadStart | None = None) -> Boot:
    """Boot with these options and return the boot; raises the SwarmbootError that ended it.

    SIGINT and SIGTERM stop it cleanly.

    A stop before the images are complete raises KeyboardInterrupt; what has been fetched stays for the next run.
    """
    boot = Boot(options, tell=tell, head_start=head_start)

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

    connections = head_start.connections if head_start is not None else None
    with log_sent(options.settings.server, boot.counters, connections, options.log()):
        trio.run(main)
    if not boot.counters.is_complete:
        raise KeyboardInterrupt
    return boot
