"""A node's pieces give way to stage 0: while machines load it from this node, its neighbours get little of its images.

A machine that loads can do nothing else, and serves others seconds later; who lacks a piece has other neighbours. Left
alone a host shares its link by connection (fq_codel, the default of Debian's kernels, heeds no socket's priority), and
the swarm has many where a load has one (docs/decisions/0055).

Only what moves counts: a load that is slow, be it firmware or somebody who keeps it open, changes nothing. Links are
taken for as fast as the seeder's, as everywhere in the swarm; it will not measure this one.
"""

from __future__ import annotations

import time

import trio

from leecher.neighbour.http_server import NeighbourServer
from leecher.origin.threads import caller
from leecher.swarm.fetch_loop import FetchLoop

EVERY_S = 0.2
LEFT_TO_PIECES = 1 / 8
"""Of a link like the seeder's, what pieces keep while machines load."""

MOVES = 1 / 32
"""Of such a link, what loads together take at least if pieces are to give way: they begin beside many connections."""


def allowed_bytes_per_s(loads_bytes_per_s: float, link_bytes_per_s: float, up_bytes_per_s: float) -> float:
    """Return at which rate pieces may go out, 0 for any, beside loads at that rate; `up_bytes_per_s` is never passed.

    Bytes per second; 0 is an unknown link, and no limit of the operator's.
    """
    if not link_bytes_per_s or loads_bytes_per_s < MOVES * link_bytes_per_s:
        return up_bytes_per_s
    left = LEFT_TO_PIECES * link_bytes_per_s
    return min(left, up_bytes_per_s) if up_bytes_per_s else left


async def give_way(server: NeighbourServer, fetch_loop: FetchLoop, up_bytes_per_s: float) -> None:
    """Limit what the swarm sends while `server` sends stage 0, until cancelled; needs a fetcher that is in a swarm."""
    fetcher, current = fetch_loop.fetcher, up_bytes_per_s
    while True:
        began = trio.Event()
        server.at_begun = caller(began.set)
        if not server.loads and current == up_bytes_per_s:
            await began.wait()
        sent_bytes, since_s = server.loads_bytes, time.monotonic()
        await trio.sleep(EVERY_S)
        rate = (server.loads_bytes - sent_bytes) / (time.monotonic() - since_s)
        allowed = allowed_bytes_per_s(rate, fetcher.announcer.heard.uplink_bytes_per_s, up_bytes_per_s)
        if allowed != current and fetcher.swarm is not None:
            fetcher.swarm.limit_uploads(round(allowed))
            current = allowed
