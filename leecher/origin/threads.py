"""Threads beside trio's: blocking requests, cancelled by shutting down what they block on, and calls from threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import trio

from leecher.origin.connection_pool import Request
from leecher.origin.nursery import open_nursery
from swarmboot.errors import TransferError

T = TypeVar("T")
_ABORT_S = 0.5


def caller(call: Callable[[], None]) -> Callable[[], None]:
    """Return what any thread can use to have `call` called in trio's; it does nothing once trio has ended."""
    trio_thread = trio.lowlevel.current_trio_token()

    def call_soon() -> None:
        with suppress(trio.RunFinishedError):
            trio_thread.run_sync_soon(call)

    return call_soon


async def in_loose_thread(call: Callable[[], T]) -> T:
    """Return what `call` returns in a thread, which is left to itself when this is cancelled; `call` may not raise.

    trio's own way has had two names for that, `cancellable` before 0.23 (Debian 12) and `abandon_on_cancel` later.
    """
    finished, found = trio.Event(), list[T]()
    tell = caller(finished.set)

    def run() -> None:
        try:
            found.append(call())
        finally:
            tell()

    threading.Thread(target=run, name="loose", daemon=True).start()
    await finished.wait()
    return found[0]


async def in_thread(request: Request) -> None:
    """Run a request in a thread; raises TransferError as it does.

    When cancelled, its connection is shut down, which ends the thread. One that has no connection yet, because a name
    or the other side does not answer, is left to itself after a moment.
    """
    finished = trio.Event()
    carrying = trio.CancelScope(shield=True)
    failure: list[TransferError] = []

    def run() -> None:
        try:
            request.run()
        except TransferError as error:
            failure.append(error)

    async def carry() -> None:
        with carrying:
            await in_loose_thread(run)
        finished.set()

    async with open_nursery() as nursery:
        nursery.start_soon(carry)
        try:
            await finished.wait()
        finally:
            if not finished.is_set():
                request.abort()
                with trio.CancelScope(deadline=trio.current_time() + _ABORT_S, shield=True):
                    await finished.wait()
                carrying.cancel()
    if failure:
        raise failure[0]
