"""Folders that somebody else's images were unpacked into, put together without following a link of theirs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from seeder.initramfs.links import found


def move_over(new: Path, to: Path) -> None:
    """Move all that is in a folder into another, over what has its name there; folders are put together."""
    for path in sorted(new.iterdir()):
        there = to / path.name
        if _is_folder(path) and _is_folder(there):
            move_over(path, there)
            continue
        if _is_folder(there):
            shutil.rmtree(there)
        elif there.is_symlink() or there.exists():
            there.unlink()
        path.rename(there)
    new.rmdir()


def drop_links_out(folder: Path) -> None:
    """Remove the links in a folder that lead out of it: whoever reads on from there would take this machine's files.

    One that leads to a file in it if it were the root leads there.
    """
    real = Path(os.path.realpath(folder))
    paths = [Path(parent, name) for parent, *both in os.walk(folder) for names in both for name in names]
    for path in filter(Path.is_symlink, paths):
        if Path(os.path.realpath(path)).is_relative_to(real):
            continue
        target = found(folder, str(path.relative_to(folder)))
        path.unlink()
        if target is not None and target.is_file():
            path.symlink_to(os.path.relpath(target, path.parent))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
