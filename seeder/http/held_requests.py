"""Requests that are kept waiting until a decision gives their answer, or whoever asked hangs up.

What decides is pure and tells when it wants to be told the time again; here are the task that does so and the events
that requests wait for. It knows neither what is asked nor what is answered.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import trio
from starlette.types import Receive

Answer = TypeVar("Answer")


class HeldRequest(Generic[Answer]):
    """One request, its own ticket: its answer once there is one, and the event if it waits for it."""

    __slots__ = ("answer", "answered")

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.answered: trio.Event | None = None

    async def answer_or_hang_up(self, receive: Receive) -> Answer | None:
        """Return the answer once it comes, or None if whoever asked hangs up first."""
        if self.answer is not None:
            return self.answer
        self.answered = trio.Event()
        async with trio.open_nursery() as nursery:

            async def hang_up() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                nursery.cancel_scope.cancel()

            nursery.start_soon(hang_up)
            await self.answered.wait()
            nursery.cancel_scope.cancel()
        return self.answer


class HeldRequests(Generic[Answer]):
    """All requests that wait for one decision. `next_tick_s` returns when it wants to be told the time, if ever."""

    def __init__(self, next_tick_s: Callable[[float], float | None]) -> None:
        self._next_tick_s = next_tick_s
        self._held: dict[Hashable, HeldRequest[Answer]] = {}
        self._stirred = trio.Event()
        self._tick_s = math.inf

    def open(self) -> HeldRequest[Answer]:
        """Return a new request that may be answered from now on."""
        request = HeldRequest[Answer]()
        self._held[request] = request
        return request

    def close(self, request: HeldRequest[Answer]) -> bool:
        """Expect no answer any more; return whether there was none."""
        return self._held.pop(request, None) is not None

    def give(self, ticket: Hashable, answer: Answer) -> None:
        """Give a request its answer, if it still waits."""
        request = self._held.pop(ticket, None)
        if request is not None:
            request.answer = answer
            if request.answered is not None:
                request.answered.set()

    def stir(self) -> None:
        """Let `run` look again if something is due sooner than it sleeps."""
        due_s = self._next_tick_s(time.monotonic())
        if due_s is not None and due_s < self._tick_s:
            self._stirred.set()

    async def run(self, tick: Callable[[float], None]) -> None:
        """Call `tick` with the time whenever the decision wants to be told it, for ever."""
        while True:
            self._stirred = trio.Event()
            due_s = self._next_tick_s(time.monotonic())
            self._tick_s = math.inf if due_s is None else due_s
            with trio.move_on_after(max(0.0, self._tick_s - time.monotonic())):
                await self._stirred.wait()
                continue
            tick(time.monotonic())
