"""A release's documents over whatever reads them asynchronously: the seeder, a mirror, a neighbour."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from leecher.nursery import open_nursery
from leecher.release import Demands, Release, Request, open_release, torrents_of
from swarmboot.manifest import Artifact

Read = Callable[[str, int], Awaitable[bytes]]
"""Returns the bytes under a site's path, at most so many; raises TransferError."""


async def read_release(read: Read, demands: Demands) -> Release:
    """Return the channel's release from one source.

    Raises TransferError if it cannot be read, TrustError as `open_release` does.
    """
    asking = open_release(demands)
    request = next(asking)
    while True:
        try:
            request = asking.send(await read(*request))
        except StopIteration as done:
            release: Release = done.value
            return release


async def read_torrents(read: Read, artifacts: tuple[Artifact, ...], documents: dict[str, bytes]) -> None:
    """Add the artifacts' torrents to `documents`, all at once; raises TransferError if one cannot be read."""

    async def read_one(request: Request) -> None:
        documents[request.path] = await read(*request)

    async with open_nursery() as nursery:
        for path, request in torrents_of(artifacts).items():
            if path not in documents:
                nursery.start_soon(read_one, request)
