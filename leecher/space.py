"""Whether the images fit, asked before the first byte is fetched and answered with the numbers.

Follows proc_meminfo(5) for MemAvailable and statvfs(3). It will not free or reserve anything.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from swarmboot.errors import SpaceError
from swarmboot.units import format_size

_TMPFS = frozenset({"tmpfs", "ramfs", "rootfs"})


def check_space(folder: Path, *, needed_bytes: int, reserve_bytes: int) -> None:
    """Raise SpaceError unless `folder` can take `needed_bytes` more and leave `reserve_bytes`, on disk or in RAM."""
    status = os.statvfs(folder)
    free_bytes = status.f_bavail * status.f_frsize
    is_ram = _filesystem(folder) in _TMPFS
    if not is_ram:
        _check(f"{folder} is too small", "on disk", free_bytes, needed_bytes, reserve_bytes)
        return
    _check("this node has too little RAM", "of available memory", available_bytes(), needed_bytes, reserve_bytes)
    if _filesystem(folder) == "tmpfs" and status.f_blocks:
        _check(f"the tmpfs at {folder} is too small", "in it", free_bytes, needed_bytes, 0)


def _check(what: str, where: str, free_bytes: int, needed_bytes: int, reserve_bytes: int) -> None:
    if needed_bytes + reserve_bytes <= free_bytes:
        return
    reserve = f" and {format_size(reserve_bytes)} to spare" if reserve_bytes else ""
    raise SpaceError(
        f"{what} for the images",
        expected=f"{format_size(needed_bytes)}{reserve}",
        found=f"{format_size(free_bytes)} {where}",
        hint="give the node more, publish a smaller release, or choose a profile with fewer plugins",
    )


def available_bytes() -> int:
    """Return the memory that can be used without swapping."""
    match = re.search(r"^MemAvailable:\s+([0-9]+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024


def _filesystem(folder: Path) -> str:
    """Return the type of the file system that holds `folder`, from /proc/self/mountinfo (proc(5))."""
    wanted = folder.stat().st_dev
    found = ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        major, minor = before.split()[2].split(":")
        if os.makedev(int(major), int(minor)) == wanted:
            found = after.split()[0]
    return found
