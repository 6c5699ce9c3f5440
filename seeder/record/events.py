"""Server-sent events (WHATWG HTML, section 9.2): the fleet's summary and the nodes that changed, once a second.

Made once for all listeners, of whom there are few; nothing is made while nobody listens. One that does not keep up is
let go, and comes again by itself (`EventSource`). Whoever begins to listen asks `/api/nodes` once for what is there.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from seeder.record.policy import shapes
from seeder.record.policy.changes import Changes
from seeder.record.policy.view import View

EVERY_S = 1.0
LISTENERS_MAX = 16
_BEHIND_MAX = 4
_KEEP_ALIVE_S = 15.0


class Broadcast:
    """Tells every listener the same; `view` returns what there is to see."""

    def __init__(self, view: Callable[[], Awaitable[View]]) -> None:
        self._view = view
        self._listeners: set[trio.MemorySendChannel[bytes]] = set()
        self._has_listener = trio.Event()
        self._changes: Changes | None = None
        self._told_fleet = ""
        self._last = b""
        self._silent_s = 0.0

    @property
    def has_room(self) -> bool:
        """Return whether one more may listen."""
        return len(self._listeners) < LISTENERS_MAX

    def listen(self) -> tuple[trio.MemorySendChannel[bytes], trio.MemoryReceiveChannel[bytes]]:
        """Return where a new listener is told, and where it hears; `leave` with the first at the end."""
        teller, told = trio.open_memory_channel[bytes](_BEHIND_MAX)
        self._listeners.add(teller)
        if self._last:
            teller.send_nowait(self._last)  # the summary as it was told last
        self._has_listener.set()
        return teller, told

    def leave(self, teller: trio.MemorySendChannel[bytes]) -> None:
        """Forget a listener."""
        self._listeners.discard(teller)
        teller.close()

    async def run(self) -> None:
        """Tell, while anybody listens."""
        while True:
            if not self._listeners:
                self._has_listener = trio.Event()
                self._changes, self._told_fleet, self._last = None, "", b""
                await self._has_listener.wait()
                view = await self._view()
                self._changes = await trio.to_thread.run_sync(Changes, view)
            view = await self._view()
            self._tell(await trio.to_thread.run_sync(self._news, view))
            await trio.sleep(EVERY_S)

    def _news(self, view: View) -> bytes:
        """Return what there is to tell, nothing for nothing; occurs in a thread, one at a time."""
        said = b""
        fleet = shapes.fleet(view)
        mark = json.dumps({**fleet, "time": 0, "slowest": [], "failed": [], "stuck": []})
        if mark != self._told_fleet:
            self._told_fleet = mark
            self._last = event("fleet", fleet)
            said += self._last
        assert self._changes is not None
        changed, gone = self._changes.take(view)
        if changed or gone:
            nodes = [shapes.node(row, now_s=view.now_s) for row in changed]
            said += event("nodes", {"time": view.now_s, "nodes": nodes, "gone": gone})
        return said

    def _tell(self, said: bytes) -> None:
        self._silent_s = 0.0 if said else self._silent_s + EVERY_S
        if not said and self._silent_s >= _KEEP_ALIVE_S:
            said, self._silent_s = b": nothing has changed\n\n", 0.0
        if not said:
            return
        for teller in list(self._listeners):
            try:
                teller.send_nowait(said)
            except (trio.WouldBlock, trio.BrokenResourceError):
                self.leave(teller)


def event(name: str, values: dict[str, Any]) -> bytes:
    """Return one event as it is sent."""
    return f"event: {name}\ndata: {json.dumps(values, separators=(',', ':'))}\n\n".encode()


class EventResponse(Response):
    """An answer that goes on until either side ends it."""

    def __init__(self, broadcast: Broadcast) -> None:
        super().__init__(media_type="text/event-stream")
        self._broadcast = broadcast

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the client hangs up, or does not keep up."""
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        teller, told = self._broadcast.listen()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
            async with trio.open_nursery() as nursery:

                async def hang_up() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    nursery.cancel_scope.cancel()

                nursery.start_soon(hang_up)
                async for said in told:
                    await send({"type": "http.response.body", "body": said, "more_body": True})
                nursery.cancel_scope.cancel()
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._broadcast.leave(teller)
