"""Blocking exchanges in threads, for trio: cancelled by tearing down what they block on."""

from __future__ import annotations

import trio

from leecher.connections import Exchange
from leecher.nursery import open_nursery
from swarmboot.errors import TransferError


async def in_thread(exchange: Exchange) -> None:
    """Run an exchange in a thread; raises TransferError as it does.

    When cancelled, its connection is torn down, which ends the thread, and the thread is waited for.
    """
    finished = trio.Event()
    failure: list[TransferError] = []

    def run() -> None:
        try:
            exchange.run()
        except TransferError as error:
            failure.append(error)

    async def carry() -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(run)
        finished.set()

    async with open_nursery() as nursery:
        nursery.start_soon(carry)
        try:
            await finished.wait()
        finally:
            if not finished.is_set():
                exchange.tear()
    if failure:
        raise failure[0]
