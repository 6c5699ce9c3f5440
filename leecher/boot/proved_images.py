"""The images of a boot proved whole: checksums taken while they arrive, compared with what was signed at the end.

While no origin has what a release names it looks for a newer one. It fetches nothing by itself.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import trio

from leecher.boot.release_search import ReleaseSearch
from leecher.origin.nursery import open_nursery
from leecher.release.trusted_release import Release
from leecher.swarm.checksum import RunningChecksum
from leecher.swarm.fetch_loop import FetchLoop
from leecher.swarm.places import PARTIAL
from swarmboot.backoff import Backoff
from swarmboot.errors import ArtifactError
from swarmboot.release.manifest import Artifact
from swarmboot.release.profile import Selection

_AGAIN_S, _AGAIN_MAX_S = 1.0, 30.0


async def wait_and_check(
    selection: Selection, fetch_loop: FetchLoop, release: Release, *, search: ReleaseSearch | None, random: Random
) -> list[RunningChecksum] | None:
    """Wait until every piece is there, and take the images' checksums meanwhile; `search` is None without a server.

    Returns None once they are gone from every origin and the server has a newer release.
    """
    fetcher = fetch_loop.fetcher
    async with open_nursery() as readers:
        checksums = [RunningChecksum(each, fetcher.places.path(each.info_hash)) for each in selection.artifacts]
        for artifact, checksum in zip(selection.artifacts, checksums, strict=True):
            h = artifact.info_hash
            readers.start_soon(checksum.follow, partial(fetcher.have, h), partial(fetch_loop.flush, h))
        is_replaced = trio.Event()
        if search is not None:
            readers.start_soon(_watch_release, search, release, fetch_loop, is_replaced, random)
        await fetch_loop.until(lambda: fetcher.is_complete or is_replaced.is_set())
        readers.cancel_scope.cancel()
    return checksums if fetcher.is_complete else None


async def _watch_release(
    search: ReleaseSearch, release: Release, fetch_loop: FetchLoop, is_replaced: trio.Event, random: Random
) -> None:
    """Read the channel again while no origin has what the manifest names, ever less often."""
    backoff = Backoff(random, first_s=_AGAIN_S, max_s=_AGAIN_MAX_S)
    while not is_replaced.is_set():
        await trio.sleep(backoff.next_s())
        if not fetch_loop.fetcher.is_gone:
            backoff.reset()
        elif await search.has_newer(release):
            is_replaced.set()
    fetch_loop.fetcher.inbox.wake()


async def finish_image(fetch_loop: FetchLoop, artifact: Artifact, checksum: RunningChecksum, into: Path) -> None:
    """Check a finished image whole and give it its name in `into`; raise ArtifactError if it is not what was signed."""
    await fetch_loop.flush(artifact.info_hash)
    found = await checksum.finish()
    if found != artifact.sha256:
        raise ArtifactError(
            f"{artifact.name} is not what was signed",
            expected=f"sha256 {artifact.sha256.hex()[:16]}",
            found=found.hex()[:16],
            hint="suspect this machine's memory or disk",
        )
    if not fetch_loop.fetcher.places.is_final(artifact.info_hash):
        await fetch_loop.rename(artifact.info_hash, artifact.name)
    with suppress(OSError):
        (into / PARTIAL).rmdir()
