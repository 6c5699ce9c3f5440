"""Whether the images fit, asked before the first byte is fetched and answered with the numbers.

Follows proc_meminfo(5) for MemAvailable and statvfs(3). It will not free or reserve anything.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from swarmboot.errors import MalformedSettingError, SpaceError
from swarmboot.text.units import format_size

_TMPFS = frozenset({"tmpfs", "ramfs", "rootfs"})
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_HINT = "give the node more, publish a smaller release, or choose a profile with fewer plugins"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """This machine's RAM: all of it, what can be used without swapping, and what can be swapped."""

    total_bytes: int
    available_bytes: int
    swap_free_bytes: int = 0


def read_memory(path: Path = Path("/proc/meminfo")) -> Memory:
    """Return what the kernel says."""
    pattern = r"^(MemTotal|MemAvailable|SwapFree):\s+([0-9]+) kB$"
    found = {name: int(kib) * 1024 for name, kib in re.findall(pattern, path.read_text(), re.MULTILINE)}
    return Memory(
        total_bytes=found["MemTotal"],
        available_bytes=found["MemAvailable"],
        swap_free_bytes=found.get("SwapFree", 0),
    )


def read_own_bytes(path: Path = Path("/proc/self/status")) -> int:
    """Return the memory of this process that is no page of a file, as images in RAM are; 0 if it is unknown."""
    found = re.search(r"^RssAnon:\s+([0-9]+) kB$", path.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def share_bytes(share: str, *, total_bytes: int) -> int:
    """Return how much a part of the RAM is, as tmpfs(5) reads it: `50%`, or a size as in `2G`."""
    if share.endswith("%"):
        return total_bytes * int(share[:-1]) // 100
    return int(share[:-1]) * _UNITS[share[-1].lower()]


def make_folder(folder: Path) -> None:
    """Make the folder that images go to; raise SpaceError or MalformedSettingError if there can be none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SpaceError(f"{folder} cannot be made: {error.strerror}", hint=_HINT) from error
        raise MalformedSettingError(
            f"swarmboot.into (--into): {folder} cannot be made",
            expected="a folder that can be written to",
            found=error.strerror or "",
            hint="name another",
        ) from error


def check_space(
    folder: Path, *, needed_bytes: int, reserve_bytes: int, unpacked_bytes: Iterable[int] = (), overlay: str = "100%"
) -> None:
    """Raise SpaceError unless `folder` can take `needed_bytes` more and leave `reserve_bytes`, on disk or in RAM.

    `unpacked_bytes` are what images will take in RAM beside that, each in a tmpfs no larger than `overlay`. Where there
    is swap, which swarmboot.zram has in RAM, half of what it takes of them counts as room: programs and their files
    are packed to less than that, images are packed already.
    """
    status = os.statvfs(folder)
    free_bytes = status.f_bavail * status.f_frsize
    filesystem, memory, unpacked = _filesystem(folder), read_memory(), list(unpacked_bytes)
    if filesystem not in _TMPFS:
        _check(f"{folder} is too small", "on disk", free_bytes, needed_bytes, reserve_bytes)
        return
    spared_bytes = min(sum(unpacked), memory.swap_free_bytes) // 2
    where = f"of available memory, {format_size(spared_bytes)} of it by swap" if spared_bytes else "of available memory"
    _check(
        "this node has too little RAM", where, memory.available_bytes + spared_bytes, needed_bytes, reserve_bytes,
        unpacked_bytes=sum(unpacked),
    )  # fmt: skip
    if filesystem == "tmpfs" and status.f_blocks:
        _check(f"the tmpfs at {folder} is too small", "in it", free_bytes, needed_bytes, 0)
    most_bytes = share_bytes(overlay, total_bytes=memory.total_bytes)
    if max(unpacked, default=0) > most_bytes:
        raise SpaceError(
            "an image does not fit where it is unpacked",
            expected=f"room for {format_size(max(unpacked))}",
            found=f"{format_size(most_bytes)}, as swarmboot.overlay={overlay} has it",
            hint="raise swarmboot.overlay, or give the node more RAM",
        )


def _check(
    what: str, where: str, free_bytes: int, needed_bytes: int, reserve_bytes: int, *, unpacked_bytes: int = 0
) -> None:
    if needed_bytes + unpacked_bytes + reserve_bytes <= free_bytes:
        return
    unpacked = f", {format_size(unpacked_bytes)} to unpack them" if unpacked_bytes else ""
    reserve = f" and {format_size(reserve_bytes)} to spare" if reserve_bytes else ""
    raise SpaceError(
        f"{what} for the images",
        expected=f"{format_size(needed_bytes)}{unpacked}{reserve}",
        found=f"{format_size(free_bytes)} {where}",
        hint=_HINT,
    )


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
