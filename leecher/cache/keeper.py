"""Keeps the images of a booted release in a cache: written beside and renamed, the oldest release first out.

Whoever is killed in the middle leaves what was there, and a `.new` file that the next one removes. The images that a
boot stands on are never removed for others, and nothing is removed where that would not make room enough. What cannot
be kept is no fault: a cache is a help.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from leecher.cache.folder import CHUNKS, IMAGES, CachedImage, CacheFolder, list_name_of, name_of
from swarmboot.ids import Digest
from swarmboot.text.units import format_size

NEW = ".new"
_COPY_BYTES = 1 << 20
_SPARE_BYTES = 4 << 20
"""So much stays free: a file system that is full to the last block is slow, and keeps its own books too."""


@dataclass(frozen=True, slots=True)
class Keepsake:
    """An image to be kept: where it is, what it is, and its list of chunks, if that is known."""

    path: Path
    sha256: Digest
    size_bytes: int
    chunks: bytes = b""


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of it: bytes written, how many older images went, and which did not fit, by name."""

    written_bytes: int
    removed: int
    too_large: tuple[str, ...]

    def __str__(self) -> str:
        is_new = self.written_bytes or self.too_large
        told = [f"{format_size(self.written_bytes)} written to the cache" if is_new else "the cache has it all"]
        if self.removed:
            told.append(f"{self.removed} older image{'s' if self.removed > 1 else ''} removed")
        if self.too_large:
            told.append(f"no room for {', '.join(self.too_large)}")
        return ", ".join(told)


def leaving(
    images: Iterable[CachedImage], *, wanted: Collection[Digest], free_bytes: int, needed_bytes: int
) -> tuple[CachedImage, ...] | None:
    """Return which images go, the oldest first, to make room for so many bytes; None if there cannot be enough."""
    going: list[CachedImage] = []
    for image in sorted(images, key=lambda each: (each.issued_s, each.sha256)):
        if free_bytes >= needed_bytes:
            break
        if image.sha256 not in wanted:
            going.append(image)
            free_bytes += image.size_bytes
    return tuple(going) if free_bytes >= needed_bytes else None


def keep(cache: Path, images: tuple[Keepsake, ...], *, issued_s: float, proved: Collection[Digest] = ()) -> Kept:
    """Keep images in a cache, each as long as there is room; `proved` are those there that were seen to be right.

    Raises OSError if it cannot be written to, or is being written to; what was kept before that stays.
    """
    folder = cache / IMAGES
    with suppress(FileExistsError):
        folder.mkdir(mode=0o755)
    with _alone(folder) as directory:
        _sweep(directory)
        wanted = {image.sha256 for image in images}
        written_bytes = removed = 0
        too_large = []
        for image in images:
            if _has(directory, image, is_proved=image.sha256 in proved):
                _date(directory, name_of(image.sha256), issued_s)
            elif (went := _make_room(cache, directory, image, wanted)) is None:
                too_large.append(image.path.name)
                continue
            else:
                removed += went
                _write_image(directory, image, issued_s)
                written_bytes += image.size_bytes
            _write_list(directory, image)
        return Kept(written_bytes, removed, tuple(too_large))


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """Open a folder that nobody else keeps images in meanwhile."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield directory
    finally:
        os.close(directory)


def _sweep(directory: int) -> None:
    """Remove what earlier runs left behind that were killed, and lists without an image."""
    names = set(os.listdir(directory))
    for name in names:
        if name.endswith(NEW) or (name.endswith(CHUNKS) and name.removesuffix(CHUNKS) not in names):
            with suppress(OSError):
                os.unlink(name, dir_fd=directory)


def _has(directory: int, image: Keepsake, *, is_proved: bool) -> bool:
    """Return whether the cache has an image; what no boot has proved is compared with the image itself."""
    try:
        status = os.stat(name_of(image.sha256), dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or status.st_size != image.size_bytes:
            return False
        return is_proved or _digest(directory, image) == image.sha256
    except OSError:
        return False


def _digest(directory: int, image: Keepsake) -> bytes:
    digest = hashlib.sha256()
    descriptor = os.open(name_of(image.sha256), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(descriptor, "rb", 0) as file:
        while data := file.read(_COPY_BYTES):
            digest.update(data)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return digest.digest()


def _make_room(cache: Path, directory: int, image: Keepsake, wanted: Collection[Digest]) -> int | None:
    """Remove what has to go for an image to be written beside; return how many went, None if that cannot be enough."""
    found = CacheFolder(cache)
    found.close()
    status = os.fstatvfs(directory)
    going = leaving(
        found.images,
        wanted=wanted,
        free_bytes=status.f_bavail * status.f_frsize,
        needed_bytes=image.size_bytes + len(image.chunks) + _SPARE_BYTES,
    )
    for old in going or ():
        os.unlink(name_of(old.sha256), dir_fd=directory)
        with suppress(FileNotFoundError):
            os.unlink(list_name_of(old.sha256), dir_fd=directory)
    return None if going is None else len(going)


def _write_image(directory: int, image: Keepsake, issued_s: float) -> None:
    """Write an image beside and rename it; raises OSError, also if it is no longer what was signed."""

    def parts() -> Iterator[bytes]:
        with image.path.open("rb", buffering=0) as source:
            while data := source.read(_COPY_BYTES):
                yield data

    name = name_of(image.sha256)
    if _write_beside(directory, name, parts()) != image.sha256:
        os.unlink(name + NEW, dir_fd=directory)
        raise OSError(errno.EIO, "is not what was signed any more", str(image.path))
    _date(directory, name + NEW, issued_s)
    _rename(directory, name)


def _write_list(directory: int, image: Keepsake) -> None:
    name = list_name_of(image.sha256)
    if image.chunks and not _is_list(directory, name, image.chunks):
        _write_beside(directory, name, [image.chunks])
        _rename(directory, name)


def _is_list(directory: int, name: str, chunks: bytes) -> bool:
    try:
        if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            return False
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(len(chunks) + 1) == chunks
    except OSError:
        return False


def _write_beside(directory: int, name: str, parts: Iterable[bytes]) -> bytes:
    """Write a new file, down to the disk; return its SHA-256. Without room it leaves nothing, and raises OSError."""
    digest = hashlib.sha256()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name + NEW, flags, 0o644, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as target:
            for data in parts:
                digest.update(data)
                target.write(data)
            target.flush()
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError:
        with suppress(OSError):
            os.unlink(name + NEW, dir_fd=directory)
        raise
    return digest.digest()


def _rename(directory: int, name: str) -> None:
    os.rename(name + NEW, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def _date(directory: int, name: str, issued_s: float) -> None:
    """Say of which release an image is: of the latest that has it."""
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if name.endswith(NEW) or status.st_mtime < issued_s:
        with suppress(PermissionError):  # an image that another user has kept
            os.utime(name, (issued_s, issued_s), dir_fd=directory, follow_symlinks=False)
