"""The record over HTTPS, as JSON: `/api/fleet`, `/api/nodes`, `/api/nodes/KEY`, `/api/history`, `/api/events`.

It reads and changes nothing. Values are computed in a thread from a snapshot, once for all who ask at the same moment,
so that a page that is looked at holds up no handout. Who may ask is the application's to say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from seeder.record.events import Broadcast, EventResponse
from seeder.record.policy import shapes
from seeder.record.policy.boot import Boot
from seeder.record.policy.causes import Site
from seeder.record.policy.state import State
from seeder.record.policy.view import View, row_of
from seeder.record.recorder import Recorder
from seeder.record.store import find_past, read_history

FRESH_S = 0.5
HISTORY_DEFAULT, EARLIER_MAX, KEY_MAX = 100, 20, 256
_READERS_MAX, _DIGITS_MAX = 2, 9
_STRANGERS = {"error": "this is for the server's own machine, for --status-from, and for holders of the --ui-token"}
_NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Api:
    """The routes; `may_read` decides on each request."""

    def __init__(self, recorder: Recorder, may_read: Callable[[Request], bool]) -> None:
        self._recorder = recorder
        self._may_read = may_read
        self._view: View | None = None
        self._made_s = 0.0
        self._making = trio.Lock()
        self._reading = trio.CapacityLimiter(_READERS_MAX)
        self.broadcast = Broadcast(self.view)

    def routes(self) -> Sequence[Route]:
        """Return the routes of the API."""
        return (
            Route("/api/fleet", self._guarded(self._fleet)),
            Route("/api/nodes", self._guarded(self._nodes)),
            Route("/api/nodes/{key:path}", self._guarded(self._story)),
            Route("/api/history", self._guarded(self._history)),
            Route("/api/events", self._guarded(self._events)),
        )

    async def view(self) -> View:
        """Return a view that is at most FRESH_S old."""
        async with self._making:
            if self._view is None or trio.current_time() - self._made_s > FRESH_S:
                self._made_s = trio.current_time()
                self._view = await trio.to_thread.run_sync(self._recorder.view())
            return self._view

    def _guarded(self, answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            if not self._may_read(request):
                return _json(_STRANGERS, status=403)
            response: Response = await answer(request)
            return response

        return guarded

    async def _fleet(self, _request: Request) -> Response:
        view = await self.view()
        return await trio.to_thread.run_sync(lambda: _json(shapes.fleet(view) | shapes.uplink(view)))

    async def _nodes(self, request: Request) -> Response:
        state, rack = request.query_params.get("state", ""), request.query_params.get("rack")
        if state and state not in {each.value for each in State}:
            return _json({"error": f"state is one of {', '.join(State)}"}, status=400)
        view = await self.view()
        return await trio.to_thread.run_sync(lambda: _json(shapes.nodes(view, state=state, rack=rack)))

    async def _story(self, request: Request) -> Response:
        key = request.path_params["key"][:KEY_MAX]
        boot = self._recorder.find(key)
        if boot is None:
            boot = await self._read(lambda folder: find_past(folder, key.lower()), None)
        if boot is None:
            return _json({"error": "no node of that MAC address, address, name or id is known"}, status=404)
        view, machine = await self.view(), boot.machine
        empty: list[Boot] = []
        earlier = await self._read(lambda folder: read_history(folder, machine=machine, most=EARLIER_MAX), empty)
        others = [each for each in earlier if each.id != boot.id]
        site = Site({name: each.sequence for each in view.releases for name in each.channels})
        row = row_of(boot, view.limits_s, site, now_s=view.now_s)
        namesakes = self._recorder.namesakes(boot)
        return _json(shapes.story(row, now_s=view.now_s, earlier=others, namesakes=namesakes))

    async def _history(self, request: Request) -> Response:
        text = request.query_params.get("limit", str(HISTORY_DEFAULT))
        most = int(text) if text.isdecimal() and len(text) <= _DIGITS_MAX else 0
        if not 0 < most <= shapes.HISTORY_MAX:
            return _json({"error": f"limit is a number from 1 to {shapes.HISTORY_MAX}"}, status=400)
        empty: list[Boot] = []
        boots = await self._read(lambda folder: read_history(folder, most=most), empty)
        view = await self.view()
        return await trio.to_thread.run_sync(lambda: _json(shapes.history(boots, now_s=view.now_s)))

    async def _read(self, read: Callable[[Any], Any], default: Any) -> Any:
        """Return what is read of the history on disk; the default if there is none, or it cannot be read."""
        folder = self._recorder.folder
        if folder is None:
            return default
        return await trio.to_thread.run_sync(lambda: _or_default(read, folder, default), limiter=self._reading)

    async def _events(self, _request: Request) -> Response:
        if not self.broadcast.has_room:
            return _json({"error": "enough listen already; ask /api/fleet now and then"}, status=503)
        return EventResponse(self.broadcast)


def _or_default(read: Callable[[Any], Any], folder: Any, default: Any) -> Any:
    import sqlite3

    try:
        return read(folder)
    except (sqlite3.Error, OSError):
        return default


def _json(values: Mapping[str, Any], *, status: int = 200) -> Response:
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return Response(text.encode("utf-8", "replace"), status, _NO_STORE, "application/json; charset=utf-8")
