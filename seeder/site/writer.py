"""Writes a site so that whoever reads it meanwhile, or after a crash, sees whole files only.

A file is written under `.incoming/`, flushed to disk and renamed to its place; the folder is flushed after it. Nothing
that is there is ever written into. One writer at a time holds the lock file, and what a killed writer left under
`.incoming/` is cleared by the next. It decides nothing about what to write.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from seeder.site.torrent import Hashes, PieceHasher
from swarmboot.errors import ChangedError, SiteBusyError, SiteError, SpaceError, UnreadableError
from swarmboot.host.files import move_into_place, named_as
from swarmboot.release import layout
from swarmboot.release.merkle import BLOCK_BYTES
from swarmboot.text.units import format_size

_INCOMING = ".incoming"
_LOCK = ".lock"
_CHUNK_BYTES = 64 * BLOCK_BYTES
_SPARE_BYTES = 1 << 20
_FOLDERS = ("", "blobs", "torrents", "manifests", "channels", "keys", "secrets", "pins", "canaries", _INCOMING)
_LATER = ("stage0",)
"""What is made in it when it is needed."""

_FULL = (errno.ENOSPC, errno.EDQUOT)

Advance = Callable[[int], None]
"""Called with the number of bytes that were just hashed."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to hash, and the status it had when it was first seen: any change since is an error."""

    path: Path
    label: str
    size_bytes: int
    mtime_ns: int
    inode: int

    def check_unchanged(self, status: os.stat_result | None = None) -> None:
        """Raise ChangedError if the file's status, or the one given, differs from the first one."""
        status = status or _status(self.path, self.label)
        if (status.st_size, status.st_mtime_ns, status.st_ino) != (self.size_bytes, self.mtime_ns, self.inode):
            what = "size" if status.st_size != self.size_bytes else "modification time"
            raise ChangedError(
                f"{self.label} changed while it was being read",
                expected=f"the same {what if status.st_ino == self.inode else 'file'} throughout",
                found=format_size(status.st_size) if what == "size" else "another",
                hint="wait until whatever writes it has finished, and run it again",
            )


def source_file(path: Path, *, label: str) -> SourceFile:
    """Return the file with its present status; raise UnreadableError if it cannot be told."""
    status = _status(path, label)
    return SourceFile(path, label, status.st_size, status.st_mtime_ns, status.st_ino)


def _status(path: Path, label: str) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise UnreadableError(f"{label} cannot be read: {error.strerror}") from error


def hash_source(
    source: SourceFile,
    *,
    piece_bytes: int,
    advance: Advance,
    into: BinaryIO | None = None,
    also: Callable[[bytes], None] | None = None,
) -> Hashes:
    """Return the hashes of the file, copying it to `into` and giving it to `also`, part by part, in the same pass.

    Raises ChangedError if the file changes meanwhile, UnreadableError if it cannot be read.
    """
    hasher = PieceHasher(piece_bytes)
    try:
        file = source.path.open("rb", buffering=0)
    except OSError as error:
        raise UnreadableError(f"{source.label} cannot be read: {error.strerror}") from error
    with file:
        source.check_unchanged(os.fstat(file.fileno()))
        left = source.size_bytes
        while left and (chunk := _read_whole(file, min(left, _CHUNK_BYTES), label=source.label)):
            if also is not None:
                also(chunk)
            hasher.update(chunk)
            if into is not None:
                into.write(chunk)
            left -= len(chunk)
            advance(len(chunk))
        source.check_unchanged(os.fstat(file.fileno()))
    if left:
        raise ChangedError(f"{source.label} ended before its size", expected=format_size(source.size_bytes))
    return hasher.finish()


def _read_whole(file: BinaryIO, size_bytes: int, *, label: str) -> bytes:
    """Return that many bytes, fewer only at the end of the file."""
    parts = []
    try:
        while size_bytes and (part := file.read(size_bytes)):
            parts.append(part)
            size_bytes -= len(part)
    except OSError as error:
        raise UnreadableError(f"{label} cannot be read: {error.strerror}") from error
    return b"".join(parts)


class SiteWriter:
    """The one writer of a site, for as long as it holds the lock."""

    def __init__(self, site: Path) -> None:
        self.site = site

    def path(self, relative: str) -> Path:
        """Return where a file of the site is on disk."""
        return self.site / relative

    def holds_size(self, size_bytes: int) -> bool:
        """Return whether any blob has that size, so that its bytes may be there already."""
        return any(path.stat().st_size == size_bytes for path in self.path("blobs").iterdir())

    def holds_blob(self, hashes: Hashes) -> bool:
        """Return whether the blob is there at its full size."""
        path = self.path(layout.blob_path(hashes.sha256))
        return path.is_file() and path.stat().st_size == hashes.size_bytes

    def holds_bytes(self, relative: str, data: bytes) -> bool:
        """Return whether a file of the site is there and holds just these bytes."""
        path = self.path(relative)
        return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data

    def check_space(self, needed_bytes: int) -> None:
        """Raise SpaceError if the site's disk has not that much room."""
        free = shutil.disk_usage(self.site).free
        if needed_bytes + _SPARE_BYTES > free:
            raise _no_space(self.site, needed_bytes + _SPARE_BYTES, free)

    def copy_blob(
        self,
        source: SourceFile,
        *,
        piece_bytes: int,
        advance: Advance,
        also: Callable[[bytes], None] | None = None,
    ) -> Hashes:
        """Copy the file into the site, hashing it in the same pass, and return its hashes; `also` as `hash_source`.

        Raises SpaceError if the disk fills, ChangedError if the file changes meanwhile; nothing is left of it then.
        """
        with self._incoming(source.size_bytes) as (path, file):
            hashes = hash_source(source, piece_bytes=piece_bytes, advance=advance, into=file, also=also)
            self._place(path, file, layout.blob_path(hashes.sha256))
        return hashes

    def write(self, relative: str, data: bytes) -> None:
        """Put a small file in its place at once, replacing what was there; raise SpaceError if the disk is full."""
        with self._incoming(len(data)) as (path, file):
            file.write(data)
            self._place(path, file, relative)

    def touch(self, relative: str) -> None:
        """Have a file that is there say that it was changed now."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path(relative))

    def remove(self, relative: str) -> int:
        """Take a file out of the site, if it is there, and return the bytes that this freed."""
        path = self.path(relative)
        try:
            size_bytes = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size_bytes

    def make_folder(self, relative: str) -> None:
        """Make a folder that whoever serves the site can enter."""
        _make_folder(self.path(relative))

    def link(self, relative: str, target: str) -> None:
        """Have a name lead to a target, relative to its folder, in place of what it led to, at once."""
        temporary = self.path(_INCOMING) / os.urandom(8).hex()
        temporary.symlink_to(target)
        temporary.replace(self.path(relative))

    def remove_rotations(self) -> None:
        """Forget that keys were ever rotated: for a site whose nodes are all given new keys."""
        for path in self.path("keys").glob("*.swarm"):
            path.unlink()

    @contextlib.contextmanager
    def workshop(self) -> Iterator[Path]:
        """Give a folder on the site's disk that its owner alone can enter; killed, the next writer clears it."""
        folder = self.path(_INCOMING) / os.urandom(8).hex()
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _incoming(self, size_bytes: int) -> Iterator[tuple[Path, BinaryIO]]:
        path = self.path(_INCOMING) / os.urandom(8).hex()
        try:
            with path.open("xb") as file:
                yield path, file
        except OSError as error:
            if error.errno not in _FULL:
                raise
            free = shutil.disk_usage(self.site).free
            raise _no_space(self.site, size_bytes, free) from error
        finally:
            path.unlink(missing_ok=True)

    def _place(self, path: Path, file: BinaryIO, relative: str) -> None:
        move_into_place(file, path, self.path(relative), mode=0o644)


def _no_space(site: Path, needed_bytes: int, free_bytes: int) -> SpaceError:
    return SpaceError(
        f"{site} has too little room",
        expected=f"{format_size(needed_bytes)} free",
        found=format_size(free_bytes),
        hint="free some space, or run `swarmboot prune`; the release published before is still served",
    )


@contextlib.contextmanager
def writing(site: Path) -> Iterator[SiteWriter]:
    """Make the site's folders if need be, take its lock, clear what a killed writer left, and give the writer.

    What it has made is taken away again if the block fails before anything is in it. Raises SiteBusyError if
    another process is writing there, SiteError if the folder cannot be made, SpaceError if
    there is no room even for that.
    """
    lacking = {path for name in (*_FOLDERS, *_LATER, _LOCK) for path in _missing(site / name)}
    try:
        for name in _FOLDERS:
            _make_folder(site / name)
        lock = os.open(site / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno in _FULL:
            raise _no_space(site, _SPARE_BYTES, shutil.disk_usage(site).free) from error
        raise _unwritable(site, error) from error
    is_ours = is_done = False
    try:
        _take_lock(lock, site)
        is_ours = True
        for left_over in (site / _INCOMING).iterdir():
            if left_over.is_dir() and not left_over.is_symlink():
                shutil.rmtree(left_over)
            else:
                left_over.unlink()
        yield SiteWriter(site)
        is_done = True
    finally:
        if is_ours and not is_done and site / _LOCK in lacking:
            _remove_begun(site, lacking)
        os.close(lock)


def _unwritable(site: Path, error: OSError) -> SiteError:
    if (site / "manifests").is_dir():  # what changes a site that is there has no --site
        hint = "run it as the user who publishes there" if isinstance(error, PermissionError) else ""
        return SiteError(f"the site {site} cannot be written: {error.strerror}", hint=hint)
    return SiteError(f"{site} cannot hold a site: {error.strerror}", hint="choose another with --site")


def _missing(folder: Path) -> list[Path]:
    """Return what is not there of a path and the folders around it."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _remove_begun(site: Path, lacking: set[Path]) -> None:
    """Remove what was made of a site and holds nothing; what was copied stays, and is not copied again.

    The lock, which is held, goes after the folders, so that nobody begins anew meanwhile.
    """
    folders = sorted(lacking - {site / _LOCK}, key=lambda path: -len(path.parts))
    inner = [folder for folder in folders if folder.is_relative_to(site) and folder != site]
    for folder in inner:
        with contextlib.suppress(OSError):
            folder.rmdir()
    if any(folder.exists() for folder in inner):
        return
    (site / _LOCK).unlink(missing_ok=True)
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _make_folder(folder: Path) -> None:
    """Make a folder that whoever serves the site can enter, whatever the umask; leave one that is there alone."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)


def _take_lock(lock: int, site: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        found = os.pread(lock, 32, 0).decode(errors="replace").strip()
        raise SiteBusyError(
            f"another publish is writing to {site}",
            found=f"process {found}" if found.isdigit() else "",
            hint="wait until it has finished, and run it again",
        ) from error
    if not os.fstat(lock).st_nlink:
        raise SiteBusyError(f"another publish has just given {site} up", hint="run it again")
    with named_as(site / _LOCK):
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
