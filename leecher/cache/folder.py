"""A folder of images from earlier boots, read as what it is: bytes that anybody may have written.

    images/SHA256           an image, under its digest in hexadecimal
    images/SHA256.chunks    its list of chunks (swarmboot.release.chunks), where it was published with one

An image's time of modification is when its release was issued: it says which is the oldest, whatever this machine's
clock. Only regular files under such names are opened, no link is followed, and what does not fit is passed over:
nothing here is believed, and an image is proved a piece at a time when it is copied.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from swarmboot.errors import ManifestError
from swarmboot.ids import DIGEST_BYTES, Digest
from swarmboot.release.chunks import MIN_CHUNK_BYTES, ChunkList, decode_chunks

IMAGES = "images"
CHUNKS = ".chunks"
_NAME = re.compile(r"[0-9a-f]{64}\Z")
_ENTRIES_MAX = 4096
_LISTS_MAX_BYTES = 64 << 20
"""So much of lists is read at most: those of 100 GiB of images."""
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class CachedImage:
    """An image in a cache, as the folder has it: its size may lie, and its bytes may be others."""

    sha256: Digest
    size_bytes: int
    issued_s: float


def name_of(sha256: Digest) -> str:
    """Return an image's file name."""
    return sha256.hex()


def list_name_of(sha256: Digest) -> str:
    """Return the file name of an image's list of chunks."""
    return f"{sha256.hex()}{CHUNKS}"


class CacheFolder:
    """The images in a cache folder, the newest first; none if there is no such folder, or it cannot be read.

    Raises OSError if it cannot be read. Close it at the end.
    """

    def __init__(self, folder: Path) -> None:
        self.images: tuple[CachedImage, ...] = ()
        self._descriptor = -1
        with suppress(FileNotFoundError):
            self._descriptor = os.open(folder / IMAGES, _READING | os.O_DIRECTORY)
            self.images = tuple(sorted(self._look(), key=lambda each: (-each.issued_s, each.sha256)))

    def _look(self) -> Iterator[CachedImage]:
        with os.scandir(self._descriptor) as entries:
            for number, entry in enumerate(entries):
                if number == _ENTRIES_MAX:
                    return
                if not _NAME.match(entry.name):
                    continue
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        yield CachedImage(Digest(bytes.fromhex(entry.name)), status.st_size, status.st_mtime)

    @contextmanager
    def open(self, name: str) -> Iterator[int]:
        """Open a regular file of the folder for reading; raises OSError for anything else."""
        if not stat.S_ISREG(os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mode):
            raise FileNotFoundError(name)
        descriptor = os.open(name, _READING, dir_fd=self._descriptor)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileNotFoundError(name)
            yield descriptor
        finally:
            os.close(descriptor)

    def lists(self) -> dict[Digest, ChunkList]:
        """Return the lists of chunks that can be read, of the newest images first."""
        found: dict[Digest, ChunkList] = {}
        left_bytes = _LISTS_MAX_BYTES
        for image in self.images:
            most_bytes = (image.size_bytes // MIN_CHUNK_BYTES + 1) * (DIGEST_BYTES + 4) + 256
            with suppress(OSError, ManifestError), self.open(list_name_of(image.sha256)) as descriptor:
                size_bytes = os.fstat(descriptor).st_size
                if size_bytes <= min(most_bytes, left_bytes):
                    left_bytes -= size_bytes
                    found[image.sha256] = decode_chunks(_read(descriptor, size_bytes), size_bytes=image.size_bytes)
        return found

    def close(self) -> None:
        """Let go of the folder."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_cache(cache: str, *, tell: Callable[[str], None]) -> CacheFolder | None:
    """Return the folder that `swarmboot.cache` names, None if it names none or it cannot be read, which is told."""
    if not cache:
        return None
    try:
        return CacheFolder(Path(cache))
    except OSError as error:
        tell(f"the cache at {cache} cannot be read: {error.strerror}; booting without it")
        return None


def _read(descriptor: int, size_bytes: int) -> bytes:
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(size_bytes)
