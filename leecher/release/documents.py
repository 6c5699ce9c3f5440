"""A release's documents over whatever reads them asynchronously: the seeder, a mirror, a neighbour.

Torrents are asked of several sources, one a little after the other, and each is checked before it is used: a wrong one
is its source's fault, and the next one is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import trio

from leecher.origin.nursery import open_nursery
from leecher.release.trusted_release import DocumentRequest, Release, ReleaseRequirements, open_release, torrents_of
from leecher.swarm.metadata import check_torrent
from swarmboot.errors import TransferError, TrustError
from swarmboot.ids import Sequence
from swarmboot.release.manifest import Artifact

Read = Callable[[str, int], Awaitable[bytes]]
"""Returns the bytes under a site's path, at most so many; raises TransferError."""

HEDGE_S = 0.5
_TORRENT_BYTES_PER_S = 1 << 16
_TORRENT_S = 10.0


@dataclass(frozen=True, slots=True)
class Source:
    """Somebody who may have documents; `blame` is told what it served that was not what was signed."""

    read: Read
    blame: Callable[[TrustError], None]


async def read_release(
    read: Read, requirements: ReleaseRequirements, pointed: Callable[[tuple[int, Sequence]], None] = lambda _: None
) -> Release:
    """Return the channel's release from one source; tell `pointed` which it is as soon as that is signed.

    Raises TransferError if it cannot be read, TrustError as `open_release` does.
    """
    asking = open_release(requirements)
    request = next(asking)
    while True:
        if request.standing is not None:
            pointed(request.standing)
        try:
            request = asking.send(await read(request.path, request.max_bytes))
        except StopIteration as done:
            release: Release = done.value
            return release


async def read_torrents(
    sources: Callable[[], Iterable[Source]], artifacts: tuple[Artifact, ...], documents: dict[str, bytes]
) -> TransferError | TrustError | None:
    """Add the artifacts' torrents to `documents`, all at once, each from whoever has it.

    Returns None, or why the last that was asked for one did not give it.
    """
    failures: list[TransferError | TrustError] = []

    async def read_one(artifact: Artifact, request: DocumentRequest) -> None:
        failure = await _read_torrent(sources(), artifact, request, documents)
        if failure is not None:
            failures.append(failure)

    async with open_nursery() as nursery:
        for artifact in artifacts:
            ((path, request),) = torrents_of((artifact,)).items()
            if path not in documents:
                nursery.start_soon(read_one, artifact, request)
    return failures[-1] if failures else None


async def _read_torrent(
    sources: Iterable[Source], artifact: Artifact, request: DocumentRequest, documents: dict[str, bytes]
) -> TransferError | TrustError | None:
    """Ask the sources in turn, the next as soon as one fails or is slow; the first right answer counts."""
    failures: list[TransferError | TrustError] = [TransferError(f"nobody has the torrent of {artifact.name}")]

    async def ask(source: Source, over: trio.Event, done: trio.CancelScope) -> None:
        try:
            with trio.move_on_after(_TORRENT_S + request.max_bytes / _TORRENT_BYTES_PER_S):
                data = await source.read(request.path, request.max_bytes)
                check_torrent(artifact, data)
                documents[request.path] = data
                done.cancel()
        except TransferError as error:
            failures.append(error)
        except TrustError as error:
            failures.append(error)
            source.blame(error)
        finally:
            over.set()

    async with open_nursery() as nursery:
        for source in sources:
            over = trio.Event()
            nursery.start_soon(ask, source, over, nursery.cancel_scope)
            with trio.move_on_after(HEDGE_S):
                await over.wait()
    return None if request.path in documents else failures[-1]
