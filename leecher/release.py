"""Getting hold of the release: the signed channel and manifest from any source, and the torrents they name.

A source is anything that answers a path with bytes: the seeder, a mirror, a neighbour. All of them are untrusted; what
comes back is a release that the fleet's keys have signed, or an error.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from leecher.nursery import open_nursery
from swarmboot import manifest as manifests
from swarmboot import site, trust
from swarmboot.errors import ManifestError
from swarmboot.ids import Sequence
from swarmboot.manifest import Artifact, Manifest
from swarmboot.trust import KeySet

Read = Callable[[str, int], Awaitable[bytes]]
"""Returns the bytes under a site's path, at most so many; raises TransferError."""

CLOCK_RIGHT_SINCE_S = 1_750_000_000
"""A clock that says an earlier time than this has not been set."""


@dataclass(frozen=True, slots=True)
class Release:
    """A verified manifest, with the exact signed bytes by their path in a site, to pass on to neighbours."""

    manifest: Manifest
    documents: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Demands:
    """What a release must satisfy: whose signature, which channel, how new."""

    trusted: KeySet
    channel: str
    floor: Sequence


async def read_release(read: Read, demands: Demands) -> Release:
    """Return the channel's release from one source.

    Raises TransferError if it cannot be read, TrustError if the keys do not vouch for it, it is too old or expired.
    """
    channel_path = site.channel_path(demands.channel)
    channel_file = await read(channel_path, trust.CHANNEL_MAX_BYTES)
    keys, channel = trust.open_channel_file(channel_file, demands.trusted)
    trust.check_floor(channel.sequence, floor=demands.floor)
    if channel.name != demands.channel:
        raise ManifestError("the source answers with another channel", expected=demands.channel, found=channel.name)
    manifest_path = site.manifest_path(channel.sequence)
    envelope = await read(manifest_path, trust.ENVELOPE_MAX_BYTES)
    payload = trust.verify(envelope, trust.Kind.MANIFEST, keys)
    manifest = manifests.decode(payload)
    is_right = hashlib.sha256(envelope).digest() == channel.manifest_sha256 and manifest.sequence == channel.sequence
    if not is_right:
        raise ManifestError(
            "the manifest is not the one the channel names",
            expected=f"manifest {channel.sequence}",
            found=f"manifest {manifest.sequence}",
            hint="try again; if it stays so, publish again",
        )
    now_unix_s = time.time()
    trust.check_expiry(manifest, now_unix_s=now_unix_s, is_clock_right=now_unix_s > CLOCK_RIGHT_SINCE_S)
    return Release(manifest, {channel_path: channel_file, manifest_path: envelope})


async def read_torrents(read: Read, artifacts: tuple[Artifact, ...], documents: dict[str, bytes]) -> None:
    """Add the artifacts' torrents to `documents`, all at once; raises TransferError if one cannot be read."""
    most: dict[str, int] = {}
    for artifact in artifacts:
        most[site.torrent_path(artifact.info_hash)] = 64 * artifact.pieces + 65536

    async def read_one(path: str) -> None:
        documents[path] = await read(path, most[path])

    async with open_nursery() as nursery:
        for path in most.keys() - documents.keys():
            nursery.start_soon(read_one, path)
