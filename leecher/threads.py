"""Threads beside trio's: blocking exchanges, cancelled by tearing down what they block on, and calls from threads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

from leecher.connections import Exchange
from leecher.nursery import open_nursery
from swarmboot.errors import TransferError


def caller(call: Callable[[], None]) -> Callable[[], None]:
    """Return what any thread can use to have `call` called in trio's; it does nothing once trio has ended."""
    trio_thread = trio.lowlevel.current_trio_token()

    def call_soon() -> None:
        with suppress(trio.RunFinishedError):
            trio_thread.run_sync_soon(call)

    return call_soon


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
