"""Stage 0 from a node that still fetches its images: what the seeder asks of some while machines wait for their turn.

Kernel and initramfs are put beside the images as files, whole and with the digests that the signed manifest names, and
served from there. The initramfs is at hand where the kernel has kept it (`retain_initrd`, /sys/firmware/initrd, Linux
6.8 and later); what is not is fetched from the node that the seeder names, or from the seeder. Before the images are
complete the node stops being named to machines, so that few loads are cut off by the switch of roots; the files stay
for the neighbour in the booted system, which serves them from then on, and go where there will be none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import BinaryIO

import trio

from leecher.machine.space import check_space
from leecher.neighbour.http_server import NeighbourServer
from leecher.neighbour.stage0 import RESERVE_BYTES, begin_to_serve, sha256_of, stage0_folder
from leecher.origin.connection_pool import Connections
from leecher.origin.file_request import FileRequest
from leecher.origin.threads import in_thread
from leecher.swarm.counters import BootCounters
from leecher.swarm.fetch_loop import FetchLoop
from swarmboot.backoff import doubled_s
from swarmboot.errors import ArtifactError, SpaceError, TransferError
from swarmboot.release import layout
from swarmboot.release.manifest import Artifact, Manifest, Role
from swarmboot.release.stage0 import image_path, stage0_images
from swarmboot.settings import NodeSettings
from swarmboot.text.addresses import host_port

KEPT = Path("/sys/firmware/initrd")
"""What the loader handed to the kernel: every initrd of it, one after the other, with what padding it put between."""

NAMED_UNTIL = 0.8
"""A node is named to machines until it has so much of its images: what is left takes about as long as a load."""

_ALIGNED = (1, 4, 512, 4096)
_PAUSE_S, _PAUSE_MAX_S = 0.5, 16.0
_COPY_BYTES = 1 << 20


class EarlyStage0:
    """A node's stage 0 while it fetches its images, which take `unpacked_bytes` more once they are unpacked."""

    def __init__(
        self,
        manifest: Manifest,
        connections: Connections,
        fetch_loop: FetchLoop,
        server: NeighbourServer,
        settings: NodeSettings,
        counters: BootCounters,
        *,
        tell: Callable[[str], None],
        unpacked_bytes: int = 0,
        kept: Path = KEPT,
    ) -> None:
        self._artifacts = stage0_images(manifest)
        self._connections = connections
        self._fetch_loop = fetch_loop
        self._server = server
        self._settings = settings
        self._counters = counters
        self._tell = tell
        self._unpacked_bytes = unpacked_bytes
        self._kept = kept
        self._scope = trio.CancelScope()
        self._failed: set[str] = set()

    async def run(self) -> None:
        """Serve stage 0 from when the seeder asks for it until most of the images are there, or until the end."""
        with self._scope:
            await self._run()

    async def _run(self) -> None:
        fetcher = self._fetch_loop.fetcher
        await self._fetch_loop.until(lambda: fetcher.announcer.heard.is_stage0_wanted)
        if not self._artifacts or self._share >= NAMED_UNTIL:
            return
        try:
            self._check_space()
            for artifact in self._artifacts:
                await self._bring(artifact)
        except (SpaceError, ArtifactError, OSError) as error:
            self._tell(f"not serving stage 0 yet: {error}")
            return
        if self._share >= NAMED_UNTIL:
            return
        begin_to_serve({artifact: self._path(artifact) for artifact in self._artifacts}, self._server, fetcher)
        self._tell("serving kernel and initramfs to machines that boot next, while the images come")
        await self._fetch_loop.until(lambda: self._share >= NAMED_UNTIL)
        fetcher.serve(())

    def end(self, *, goes_on: bool) -> None:
        """Serve nobody new; `goes_on` keeps the files for who serves them next."""
        self._scope.cancel()
        self._server.files = {}
        for artifact in self._artifacts:
            path = self._path(artifact)
            with suppress(OSError):
                _partial(path).unlink(missing_ok=True)
                if not goes_on:
                    path.unlink(missing_ok=True)

    @property
    def _share(self) -> float:
        return self._counters.have_bytes / max(1, self._counters.total_bytes)

    def _path(self, artifact: Artifact) -> Path:
        return stage0_folder(self._settings.into) / artifact.sha256.hex()

    def _check_space(self) -> None:
        """Raise SpaceError unless there is room for stage 0 beside all that the images still take."""
        images_bytes = self._counters.total_bytes - self._counters.have_bytes
        check_space(
            stage0_folder(self._settings.into),
            needed_bytes=images_bytes
            + sum(each.size_bytes for each in self._artifacts if not self._path(each).is_file()),
            reserve_bytes=max(RESERVE_BYTES, self._settings.reserve_bytes),
            unpacked_bytes=(self._unpacked_bytes,),
        )

    async def _bring(self, artifact: Artifact) -> None:
        """Have a file in its place with the digest that was signed, from wherever it is nearest.

        Raises OSError, and ArtifactError if the server has other bytes.
        """
        path = self._path(artifact)
        is_there = path.is_file() and not path.is_symlink()
        if is_there and await trio.to_thread.run_sync(sha256_of, path) == artifact.sha256:
            return
        path.unlink(missing_ok=True)
        partial_path = _partial(path)
        for attempt in count():
            partial_path.unlink(missing_ok=True)
            with partial_path.open("xb") as file:
                is_whole = await self._fill(artifact, file)
            await trio.lowlevel.checkpoint_if_cancelled()  # a thread that copies is waited for: `end` may have come
            if is_whole:
                partial_path.rename(path)
                return
            await trio.sleep(doubled_s(_PAUSE_S, _PAUSE_MAX_S, attempt))

    async def _fill(self, artifact: Artifact, file: BinaryIO) -> bool:
        """Write an artifact's bytes to an empty file; return whether they are the signed ones."""
        if artifact.role is Role.INITRAMFS:
            copy = partial(copy_kept, self._kept, artifact, file)
            if await trio.to_thread.run_sync(copy):
                return True
        url = self._source(artifact)
        request = FileRequest(self._connections, url, size_bytes=artifact.size_bytes, file=file)
        with suppress(TransferError):
            await in_thread(request)
        if request.unwritten is not None:
            raise request.unwritten
        if request.sha256 == artifact.sha256:
            return True
        if request.sha256 and url == self._origin(artifact):
            expected, found = artifact.sha256.hex()[:16], request.sha256.hex()[:16]
            raise ArtifactError(f"{url} is not what was signed", expected=f"sha256 {expected}", found=found)
        self._failed.add(url)
        return False

    def _source(self, artifact: Artifact) -> str:
        """Return where an artifact is to be had: from whom the seeder names, if that has not failed, else from it."""
        for named in self._fetch_loop.fetcher.announcer.heard.stage0_from:
            url = f"http://{host_port(named.host, named.http_port)}{image_path(artifact)}"
            if url not in self._failed:
                return url
        return self._origin(artifact)

    def _origin(self, artifact: Artifact) -> str:
        return f"{self._settings.server}/{layout.blob_path(artifact.sha256)}"


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def copy_kept(kept: Path, artifact: Artifact, file: BinaryIO) -> bool:
    """Copy an initramfs out of what the kernel has kept into an empty file; return whether it was in there.

    The release's initramfs is loaded last, so it stands at the end; a loader may have padded it. Raises OSError if the
    file cannot be written.
    """
    try:
        size_bytes = kept.stat().st_size
        source = kept.open("rb")
    except OSError:
        return False
    with source:
        for first_byte in _places(size_bytes, artifact.size_bytes):
            file.seek(0)
            if _copy(source, first_byte, artifact.size_bytes, file) == artifact.sha256:
                return True
    file.seek(0)
    file.truncate()
    return False


def _places(kept_bytes: int, size_bytes: int) -> Iterator[int]:
    """Yield where an image may begin: so that it ends with what was kept, at a multiple of what loaders align to."""
    last = kept_bytes - size_bytes
    if last >= 0:
        yield from dict.fromkeys([*(last // aligned * aligned for aligned in _ALIGNED), 0])


def _copy(source: BinaryIO, first_byte: int, size_bytes: int, file: BinaryIO) -> bytes:
    """Copy bytes and return their digest; nothing is copied of what begins with a zero, which is padding."""
    source.seek(first_byte)
    digest, left_bytes = hashlib.sha256(), size_bytes
    while left_bytes and (data := source.read(min(_COPY_BYTES, left_bytes))):
        if left_bytes == size_bytes and not data[0]:
            return b""
        digest.update(data)
        file.write(data)
        left_bytes -= len(data)
    return digest.digest()
