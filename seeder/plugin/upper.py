"""Reads a folder of changes, as an overlay has it, into entries: hard links among its files, extended attributes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from swarmboot.archive import KINDS, Entry
from swarmboot.errors import ReleaseError, UnreadableError

_CAPABILITY = "security.capability"


def upper_entries(folder: Path) -> Iterator[Entry]:
    """Yield what is in a folder, sorted, a folder before what is in it; sockets, which no image can have, left out.

    Raises UnreadableError for what cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UnreadableError(f"{error.filename} cannot be read: {error.strerror}", hint="run it as root")

    for parent, folders, files in os.walk(os.fsencode(folder), onerror=refuse):
        folders.sort()
        for name in sorted([*folders, *files]):
            entry = _entry(folder, Path(os.fsdecode(parent)) / os.fsdecode(name))
            if entry is not None:
                yield entry


def _entry(folder: Path, path: Path) -> Entry | None:
    status = path.lstat()
    kind = KINDS.get(stat.S_IFMT(status.st_mode), "")
    if not kind:
        return None
    attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in _attribute_names(path)}
    capability = attributes.pop(_CAPABILITY, b"")
    is_file = kind == "file"
    return Entry(
        str(path.relative_to(folder)), kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid,
        status.st_mtime, str(path.readlink()) if kind == "link" else "", status.st_rdev, bool(capability), capability,
        status.st_size if is_file else 0, _reading(path, status.st_size) if is_file else None,
        tuple(sorted(attributes.items())),
    )  # fmt: skip


def _attribute_names(path: Path) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return []


def _reading(path: Path, size_bytes: int) -> Callable[[int], bytes]:
    """Return what reads a file from its beginning: opened when first asked, closed at its end."""
    opened: list[IO[bytes]] = []
    left = [size_bytes]

    def read(most_bytes: int) -> bytes:
        if not opened:
            try:
                opened.append(path.open("rb"))
            except OSError as error:
                raise UnreadableError(f"{path} cannot be read: {error.strerror}") from error
        data = opened[0].read(min(most_bytes, left[0]))
        left[0] -= len(data)
        if not data or not left[0]:
            opened[0].close()
        if not data and left[0]:
            raise ReleaseError(f"{path} became shorter while it was read", hint="run it again")
        return data

    return read


def linked(folder: Path, kept: Collection[str]) -> dict[str, str]:
    """Return which of the `kept` names are further names of a file, and of which, the first in order."""
    first: dict[tuple[int, int], str] = {}
    links: dict[str, str] = {}
    for name in sorted(kept):
        path = folder / name
        if path.is_symlink() or not path.is_file():
            continue
        status = path.lstat()
        if status.st_nlink > 1:
            found = first.setdefault((status.st_dev, status.st_ino), name)
            if found != name:
                links[name] = found
    return links


def as_link(entry: Entry, target: str) -> Entry:
    """Return an entry as another name of `target`."""
    return replace(entry, kind="hard link", target=target, size_bytes=0, read=None, capability=b"")
