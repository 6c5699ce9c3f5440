"""What a monitoring system asks: `/metrics`, and `/sd/nodes`, the nodes that it may ask themselves.

https://prometheus.io/docs/prometheus/latest/http_sd/: a list of targets with labels. A node serves `/metrics` at its
HTTP server, whose port is its own; the list names it anew at each look. Who may ask is the application's to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from seeder.monitoring.scrape import Scrapes
from seeder.policy.facts.node import Node
from seeder.site.lifetimes import Lifetime
from swarmboot.text.addresses import host_port

METRICS_PATH, NODES_PATH = "/metrics", "/sd/nodes"


def monitoring_routes(
    scrapes: Scrapes,
    ends: Callable[[], tuple[Lifetime, ...]],
    may_read: Callable[[Request], bool],
) -> Sequence[Route]:
    """Return the routes; `ends` touches files."""
    meters, current = scrapes.meters, scrapes.current

    def refusal() -> Response:
        meters.refuse("reader")
        text = "this is for this machine, for --status-from, and for holders of the --ui-token\n"
        return PlainTextResponse(text, status_code=403)

    async def metrics(request: Request) -> Response:
        if not may_read(request):
            return refusal()
        current.ends = await trio.to_thread.run_sync(ends)
        body, media_type = scrapes.answer(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type, "cache-control": "no-store"})

    async def nodes(request: Request) -> Response:
        return JSONResponse(targets(current.registry.nodes.values())) if may_read(request) else refusal()

    return (Route(METRICS_PATH, metrics), Route(NODES_PATH, nodes))


def targets(nodes: Iterable[Node]) -> list[dict[str, object]]:
    """Return the nodes that serve HTTP and can be dialled, those of a rack together."""
    racks: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        if node.http_port and not node.is_hidden:
            racks[node.rack].append(host_port(node.host, node.http_port))
    return [{"targets": sorted(addresses), "labels": {"rack": rack}} for rack, addresses in sorted(racks.items())]
