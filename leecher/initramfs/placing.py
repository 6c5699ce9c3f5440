"""Makes one entry of an archive in the file system, or takes its name away, below the process's root directory.

Links to folders on the way are followed, as the root's own links would be. What an image may bring is decided in
`leecher.initramfs.root`.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from swarmboot.archive import Entry

_CHUNK_BYTES = 1 << 18


def place(entry: Entry) -> None:
    """Make the entry below /. Links to folders on the way to it are followed, as the root's own links would be."""
    path = Path("/", entry.name)
    if entry.kind == "folder":
        _place_folder(entry, path)
        return
    _make_parents(path)
    if entry.kind == "hard link":
        _place_hard_link(entry, path)
        return
    with suppress(FileNotFoundError):
        path.unlink()
    if entry.kind == "file":
        _write(entry, path, os.O_CREAT | os.O_EXCL)
    elif entry.kind == "link":
        path.symlink_to(entry.target)
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        return
    else:
        kinds = {"character": stat.S_IFCHR, "block": stat.S_IFBLK, "pipe": stat.S_IFIFO}
        os.mknod(path, kinds[entry.kind] | entry.mode, entry.device)
    _finish(entry, path)


def take_away(entry: Entry) -> None:
    """Remove what has the entry's name, and all that is below it. Links on the way to it are followed."""
    path = Path("/", entry.name)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def _make_parents(path: Path) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)


def _place_folder(entry: Entry, path: Path) -> None:
    if path.is_dir():
        if path.is_symlink():
            return
    else:
        with suppress(FileNotFoundError):
            path.unlink()
        path.mkdir(parents=True)
    os.chown(path, entry.uid, entry.gid)
    path.chmod(entry.mode)


def _place_hard_link(entry: Entry, path: Path) -> None:
    target = Path("/", entry.target)
    if target != path:
        with suppress(FileNotFoundError):
            path.unlink()
        os.link(target, path, follow_symlinks=False)
    if entry.read is not None and entry.size_bytes:  # cpio: the contents come with the last name of a file
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EINVAL, "its first name is no file any more")
        _write(entry, path, os.O_TRUNC)


def _write(entry: Entry, path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while entry.read is not None and (data := entry.read(_CHUNK_BYTES)):
            file.write(data)


def _finish(entry: Entry, path: Path) -> None:
    os.chown(path, entry.uid, entry.gid)
    path.chmod(entry.mode)
    if entry.capability:
        os.setxattr(path, "security.capability", entry.capability)
    if entry.modified_s:
        os.utime(path, (entry.modified_s, entry.modified_s))
