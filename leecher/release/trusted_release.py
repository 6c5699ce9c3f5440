"""Getting hold of the release: the signed channel and manifest from any source, and the torrents they name.

A source is anything that answers a path with bytes: the seeder, a mirror, a neighbour. All of them are untrusted; what
comes back is a release that the fleet's keys have signed, or an error. Documents go in, a release comes out; who reads
them, `leecher.boot.head_start` or `leecher.release.documents`, is of no matter here.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from swarmboot.errors import ManifestError
from swarmboot.ids import Sequence
from swarmboot.release import freshness, layout, trust
from swarmboot.release import manifest as manifests
from swarmboot.release.manifest import Artifact, Manifest
from swarmboot.release.trust import KeySet
from swarmboot.settings import NodeSettings

CLOCK_RIGHT_SINCE_S = 1_750_000_000
"""A clock that says an earlier time than this has not been set."""


class DocumentRequest(NamedTuple):
    """Asks for the bytes under a site's path, at most so many.

    `standing` is that of the release that a channel points to, in the request for its manifest: signed, not there yet.
    """

    path: str
    max_bytes: int
    standing: tuple[int, Sequence] | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A verified manifest, with the exact signed bytes by their path in a site, to pass on to neighbours.

    `rotations` counts those between the keys that this node trusts and those that signed.
    """

    manifest: Manifest
    documents: dict[str, bytes]
    rotations: int = 0

    @property
    def standing(self) -> tuple[int, Sequence]:
        """Return what says which of two releases is the newer: after a rotation numbers may begin anew."""
        return self.rotations, self.manifest.sequence


@dataclass(frozen=True, slots=True)
class ReleaseRequirements:
    """What a release must satisfy: whose signature, which channel, how new, and whose fleet's, if `fleet` says."""

    trusted: KeySet
    channel: str
    floor: Sequence
    fleet: str = ""


def requirements_of(settings: NodeSettings, trusted: KeySet) -> ReleaseRequirements:
    """Return what a node with these settings and keys demands."""
    return ReleaseRequirements(trusted, settings.channel, Sequence(settings.floor), settings.fleet)


def open_release(requirements: ReleaseRequirements) -> Generator[DocumentRequest, bytes, Release]:
    """Return the channel's release: yields the documents it needs, one at a time, and is sent their bytes.

    Raises TrustError if the keys do not vouch for it, it is too old or expired.
    """
    channel_path = layout.channel_path(requirements.channel)
    channel_file = yield DocumentRequest(channel_path, trust.CHANNEL_MAX_BYTES)
    keys, channel, rotations = trust.open_channel_file(channel_file, requirements.trusted)
    if not freshness.is_floor_lifted(requirements.trusted, keys):
        freshness.check_floor(channel.sequence, floor=requirements.floor)
    if requirements.fleet:
        freshness.check_fleet(channel.fleet, wanted=requirements.fleet, what="channel")
    if channel.name != requirements.channel:
        raise ManifestError(
            "the source answers with another channel", expected=requirements.channel, found=channel.name
        )
    manifest_path = layout.manifest_path(channel.sequence)
    envelope = yield DocumentRequest(manifest_path, trust.ENVELOPE_MAX_BYTES, (rotations, channel.sequence))
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
    freshness.check_fleet(manifest.fleet, wanted=channel.fleet, what="manifest")
    now_unix_s = time.time()
    is_clock_right = now_unix_s > CLOCK_RIGHT_SINCE_S
    freshness.check_pointer_expiry(
        channel.name, channel.expires_unix_s, now_unix_s=now_unix_s, is_clock_right=is_clock_right
    )
    freshness.check_expiry(manifest, now_unix_s=now_unix_s, is_clock_right=is_clock_right)
    return Release(manifest, {channel_path: channel_file, manifest_path: envelope}, rotations)


def torrents_of(artifacts: Iterable[Artifact]) -> dict[str, DocumentRequest]:
    """Return what asks for the artifacts' torrents, by path."""
    paths = {layout.torrent_path(artifact.info_hash): artifact for artifact in artifacts}
    return {path: DocumentRequest(path, 64 * artifact.pieces + 65536) for path, artifact in paths.items()}
