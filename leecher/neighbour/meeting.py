"""Meeting neighbours without a seeder's help: a node looks for some on its LAN, and dials those that answer."""

from __future__ import annotations

import time

import trio

from leecher.neighbour.discovery import Discovery, Found
from leecher.origin.nursery import open_nursery
from leecher.policy.lookout import Lookout
from leecher.swarm.fetcher import Fetcher
from swarmboot.wire.announce import Neighbour

_LOOK_S = 0.25
"""How often a node looks whether it must find neighbours itself, and whom of those it has heard of it dials."""


async def meet(discovery: Discovery, fetcher: Fetcher, lookout: Lookout, has_server: bool) -> None:
    """Look for more neighbours while no seeder names any, or it cannot, or no piece comes; until all is there."""

    def is_left() -> bool:
        is_stuck = fetcher.policy.is_stuck(now_s=time.monotonic())
        return fetcher.policy.is_alone or is_stuck or not has_server

    def is_helped() -> bool:
        return fetcher.is_complete or not (is_left() or (fetcher.announcer.heard.is_hidden and not lookout.has_enough))

    def hear(found: Found) -> None:
        lookout.hear(Neighbour(found.host, found.presence.port, found.presence.http_port))
        if not fetcher.announcer.heard.is_hidden:
            fetcher.meet(lookout.choose(is_hidden=False))

    async def dial() -> None:
        while True:
            await trio.sleep(_LOOK_S)
            fetcher.meet(lookout.choose(is_hidden=fetcher.announcer.heard.is_hidden and not is_left()))

    async with open_nursery() as nursery:
        nursery.start_soon(dial)
        while not fetcher.is_complete:
            await trio.sleep(_LOOK_S)
            if not is_helped():
                await discovery.probe(hear, is_done=is_helped)
        nursery.cancel_scope.cancel()
