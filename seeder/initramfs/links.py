"""Where a path leads in a system that lies in a folder: its links are followed as there, never out of it."""

from __future__ import annotations

import errno
from pathlib import Path

_MAX_LINKS = 40


def follow(root: Path, name: str) -> Path:
    """Return where a path leads in the system under `root`, absolute links counted from there; OSError in a circle."""
    left, at, links = [part for part in name.split("/") if part], root, 0
    while left:
        part = left.pop(0)
        if part == "..":
            at = at.parent if at != root else root
        elif (at / part).is_symlink():
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, f"{name}: too many links")
            target = str((at / part).readlink())
            at = root if target.startswith("/") else at
            left = [piece for piece in target.split("/") if piece not in ("", ".")] + left
        else:
            at = at / part
    return at


def found(root: Path, name: str) -> Path | None:
    """Return where a path leads in the system under `root`, to a file or folder and no link; None if it leads nowhere.

    What it returns may be read: it lies under `root`.
    """
    try:
        path = follow(root, name)
        return path if path.exists() else None
    except OSError:
        return None


def is_file(root: Path, name: str) -> bool:
    """Return whether a path leads to a file in the system under `root`."""
    path = found(root, name)
    return path is not None and path.is_file()
