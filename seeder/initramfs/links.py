"""Where a path leads in a system that lies in a folder: its links are followed as there, never out of it."""

from __future__ import annotations

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
                raise OSError(f"{name}: too many links")
            target = str((at / part).readlink())
            at = root if target.startswith("/") else at
            left = [piece for piece in target.split("/") if piece not in ("", ".")] + left
        else:
            at = at / part
    return at
