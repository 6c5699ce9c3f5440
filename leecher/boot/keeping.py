"""After a boot: its images are kept in this node's cache, with the lists by which the next release is put together.

Whatever fails, the boot has been a success: a line says what was not kept. In an initramfs nothing is written: that is
the booted system's affair (`leecher.initramfs.keep`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from leecher.cache.keeper import Keepsake, keep
from leecher.origin.connection_pool import Connections
from leecher.origin.small_request import SmallRequest
from swarmboot.errors import TransferError
from swarmboot.ids import Digest
from swarmboot.release import layout
from swarmboot.release.manifest import Artifact


def lists_of(
    artifacts: Iterable[Artifact], documents: Mapping[str, bytes], *, server: str, connections: Connections
) -> dict[Digest, bytes]:
    """Return the artifacts' lists of chunks, by the artifacts' digests, as far as they are at hand or can be had."""
    found = {}
    for artifact in artifacts:
        if artifact.chunks is None:
            continue
        path = layout.blob_path(artifact.chunks.sha256)
        data = documents.get(path, b"")
        if not data and server:
            request = SmallRequest(connections, f"{server}/{path}", max_bytes=artifact.chunks.size_bytes)
            with suppress(TransferError):
                request.run()
                data = request.answer
        if hashlib.sha256(data).digest() == artifact.chunks.sha256:
            found[artifact.sha256] = data
    return found


def keep_images(
    cache: Path,
    artifacts: tuple[Artifact, ...],
    lists: Mapping[Digest, bytes],
    *,
    into: Path,
    issued_s: float,
    is_proved: bool,
    tell: Callable[[str], None],
) -> None:
    """Keep the artifacts that lie under their names in `into`; `is_proved` says that all came from this very cache."""
    images = tuple(
        Keepsake(into / each.name, each.sha256, each.size_bytes, lists.get(each.sha256, b"")) for each in artifacts
    )
    proved = {each.sha256 for each in images} if is_proved else ()
    try:
        told = str(keep(cache, images, issued_s=issued_s, proved=proved))
    except BlockingIOError:
        told = f"the cache at {cache} is being written by another process; it is left to that"
    except OSError as error:
        told = f"the cache at {cache} cannot be written: {error.filename or 'its folder'}: {error.strerror}"
    tell(told)
