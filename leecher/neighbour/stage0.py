"""Stage 0 on a node: serving it to machines that boot next, and saying so if this node was started with another one.

A complete node whose seeder asks for it fetches its own manifest's kernel and initramfs through the swarm, a range at a
time, checks them whole like any image, and then serves them at `/k/<sha256>`. What it lacks room for it does not fetch.
They go to `stage0` beside the folder of the images if that is there to be written, which is where the hook lets a
neighbour write, else to the images.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from leecher.machine.space import check_space
from leecher.neighbour.http_server import NeighbourServer
from leecher.origin.threads import caller
from leecher.swarm.fetch_loop import FetchLoop
from leecher.swarm.fetcher import Fetcher
from swarmboot.errors import ArtifactError, SpaceError, TransferError, TrustError
from swarmboot.release import layout
from swarmboot.release.manifest import Artifact, Manifest
from swarmboot.release.stage0 import stage0_images
from swarmboot.setting_values import UNIFIED_WORD
from swarmboot.settings import NodeSettings

_PAUSE_S = 5.0
RESERVE_BYTES = 64 << 20


def stage0_faults(manifest: Manifest, *, prefixes: str, kernel: os.uname_result) -> tuple[str, ...]:
    """Return in what this node's stage 0 differs from the manifest's, as far as a running system can tell.

    `prefixes` is `swarmboot.stage0` from the command line: what the boot script meant to load, or `unified` in an image
    that cannot hold its own digest. The running kernel names its own version and build. Neither convicts a kernel that
    lies; that is the loader's part (docs/stage0.md).
    """
    artifacts = stage0_images(manifest)
    faults = []
    told = prefixes.split(",") if prefixes not in ("", UNIFIED_WORD) else []
    for artifact, prefix in zip(artifacts, told, strict=False):
        if not artifact.sha256.hex().startswith(prefix):
            expected, found = artifact.sha256.hex()[:16], prefix[:16]
            faults.append(f"its {artifact.role.value} is not the manifest's: expected {expected}, found {found}")
    version = artifacts[0].version if artifacts else ""
    is_right = version.split()[:1] == [kernel.release] and version.endswith(kernel.version)
    if version and not is_right:
        found = f"{kernel.release} {kernel.version}"
        faults.append(f"its running kernel is not the manifest's: expected {version}, found {found}")
    return tuple(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage0Neighbour:
    """What a booted node needs to serve stage 0."""

    manifest: Manifest
    documents: dict[str, bytes]
    read_torrents: Callable[[tuple[Artifact, ...], dict[str, bytes]], Awaitable[None]]
    fetch_loop: FetchLoop
    server: NeighbourServer
    settings: NodeSettings
    tell: Callable[[str], None]

    async def run(self) -> None:
        """Fetch and serve stage 0 once the seeder wants it; return if this node cannot."""
        fetcher = self.fetch_loop.fetcher
        await self.fetch_loop.until(lambda: fetcher.announcer.heard.is_stage0_wanted)
        artifacts = stage0_images(self.manifest)
        if not artifacts:
            return
        try:
            check_space(
                stage0_folder(self.settings.into),
                needed_bytes=sum(artifact.size_bytes for artifact in artifacts if not self._path(artifact).is_file()),
                reserve_bytes=max(RESERVE_BYTES, self.settings.reserve_bytes),
            )
        except SpaceError as error:
            self.tell(f"not serving stage 0: {error}")
            return
        await self._read_torrents(artifacts)
        try:
            await self._fetch(artifacts)
        except ArtifactError as error:
            self.tell(f"not serving stage 0: {error}")
            return
        begin_to_serve({artifact: self._path(artifact) for artifact in artifacts}, self.server, fetcher)
        self.tell("serving kernel and initramfs to machines that boot next")

    def _path(self, artifact: Artifact) -> Path:
        return stage0_folder(self.settings.into) / artifact.sha256.hex()

    async def _read_torrents(self, artifacts: tuple[Artifact, ...]) -> None:
        while True:
            try:
                await self.read_torrents(artifacts, self.documents)
            except (TransferError, TrustError):
                await trio.sleep(_PAUSE_S)
            else:
                return

    async def _fetch(self, artifacts: tuple[Artifact, ...]) -> None:
        for artifact in artifacts:
            torrent = self.documents[layout.torrent_path(artifact.info_hash)]
            path = self._path(artifact)
            if path.is_symlink():  # made by whoever else may write there
                path.unlink()
            await self.fetch_loop.add_later(artifact, torrent, path)
        await self.fetch_loop.until(lambda: self.fetch_loop.fetcher.is_complete)
        for artifact in artifacts:
            await self._check(artifact)

    async def _check(self, artifact: Artifact) -> None:
        """Raise ArtifactError if a finished file is not what was signed."""
        await self.fetch_loop.flush(artifact.info_hash)
        found = await trio.to_thread.run_sync(sha256_of, self._path(artifact))
        if found != artifact.sha256:
            expected = f"sha256 {artifact.sha256.hex()[:16]}"
            raise ArtifactError(f"{artifact.name} is not what was signed", expected=expected, found=found.hex()[:16])


def begin_to_serve(files: Mapping[Artifact, Path], server: NeighbourServer, fetcher: Fetcher) -> None:
    """Serve the files of stage 0, in the order in which machines load them, and announce that and each load's end."""
    last = list(files)[-1].sha256.hex()
    server.files = {artifact.sha256.hex(): path for artifact, path in files.items()}
    server.at_sent = caller(lambda: fetcher.tell_loads(server.sent[last]))
    fetcher.announcer.loads_sent = server.sent[last]
    fetcher.serve(tuple(artifact.sha256 for artifact in files))


def stage0_folder(images: Path) -> Path:
    """Return where a node keeps what it serves as stage 0."""
    beside = images.parent / "stage0"
    return beside if beside.is_dir() and os.access(beside, os.W_OK) else images


def sha256_of(path: Path) -> bytes:
    """Return a file's digest; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
