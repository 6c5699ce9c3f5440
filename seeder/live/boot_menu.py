"""What a live image's own boot menus start: kernel and arguments, as syslinux, GRUB and GRUB Legacy write them. Pure.

Sources: syslinux's doc/syslinux.txt (LABEL, LINUX, KERNEL, APPEND, MENU DEFAULT), GRUB's manual (menuentry, linux), and
what live-build makes of its templates (binary_syslinux, binary_grub_cfg). A menu is read for its entries, never run.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

LIVE = "boot=live"
_BEGINS = frozenset({"label", "menuentry", "title"})
_KERNEL = frozenset({"linux", "kernel", "linuxefi", "linux16"})


@dataclass(slots=True)
class BootEntry:
    """One entry of a menu: the kernel's path as the menu has it, and its arguments."""

    menu: str
    kernel: str = ""
    arguments: list[str] = field(default_factory=list)
    is_default: bool = False


def default_entry(texts: Mapping[str, str]) -> BootEntry | None:
    """Return the entry with `boot=live` that is started if nobody chooses: the one marked so, else the first."""
    found = [entry for menu in texts for entry in _entries(menu, texts[menu]) if LIVE in entry.arguments]
    return min(found, key=_rank, default=None)


def foreign_boot(texts: Mapping[str, str]) -> str:
    """Return which other boot method than `live` the menus name, as `boot=casper`; nothing if they name none."""
    words = (word for menu in texts for entry in _entries(menu, texts[menu]) for word in entry.arguments)
    return next((word for word in words if word.startswith("boot=") and word != LIVE), "")


def _rank(entry: BootEntry) -> tuple[bool, bool, bool]:
    """Put what is marked first, then live-build's own file of entries, then syslinux's before GRUB's."""
    name = entry.menu.rpartition("/")[2]
    return not entry.is_default, name != "live.cfg", "grub" in entry.menu


def _entries(menu: str, text: str) -> list[BootEntry]:
    entries = [BootEntry(menu)]
    for line in text.splitlines():
        words = _split(line.strip())
        match words[:1] and [words[0].lower(), *words[1:]]:
            case [begin, *_] if begin in _BEGINS:
                entries.append(BootEntry(menu))
            case [load, path, *arguments] if load in _KERNEL:
                entries[-1].kernel = path
                entries[-1].arguments += arguments
            case ["append", *arguments]:
                entries[-1].arguments += arguments
            case ["menu", default] if default.lower() == "default":
                entries[-1].is_default = True
    return [entry for entry in entries if entry.kernel]


def _split(line: str) -> list[str]:
    """Return a line's words; one with quotes that do not end is taken apart at blanks."""
    if line.startswith("#"):
        return []
    try:
        return shlex.split(line) if line.startswith(("menuentry", "linux", "kernel")) else line.split()
    except ValueError:
        return line.split()
