"""What is kept of a node's lines, over HTTPS: `/api/logs/KEY`. Who may ask is the application's to say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from seeder.node_log.store import Store, lines_of

KEY_MAX = 256


def log_routes(
    store: Store, keys_of: Callable[[str], Sequence[str]], may_read: Callable[[Request], bool]
) -> Sequence[Route]:
    """Return the route; `keys_of` names the files of a node, none for one that is not known."""

    async def logs(request: Request) -> Response:
        if not may_read(request):
            return JSONResponse({"error": "this is for those who may read /api"}, status_code=403)
        key = request.path_params["key"][:KEY_MAX]
        keys = [*keys_of(key), key]
        lines = await trio.to_thread.run_sync(lines_of, store, keys)
        if not lines and len(keys) == 1:
            return JSONResponse({"error": "no node of that MAC address, address, name or id is known"}, status_code=404)
        return JSONResponse({"node": key, "lines": lines}, headers={"cache-control": "no-store"})

    return (Route("/api/logs/{key:path}", logs),)
