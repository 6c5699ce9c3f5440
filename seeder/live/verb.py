"""What `publish` and `release import` do with a live image, and what they say of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seeder.live.adopt import adopt, default_out, name_of
from seeder.live.archive_medium import ArchiveMedium, archive_kind
from seeder.live.image import LiveImage, find_image
from seeder.live.medium import FolderMedium, Medium, looks_live
from seeder.takeover import stage0
from seeder.takeover.directory import Adopted
from seeder.takeover.words import finish, lost_lines
from swarmboot.host.programs import check_installed


def is_live(path: Path) -> bool:
    """Return whether this is taken for a live image: an archive of any kind, or a folder that holds one."""
    return looks_live(path) if path.is_dir() else path.is_file() and bool(archive_kind(path))


def check_tools(path: Path) -> None:
    """Raise ToolMissingError for what it takes to make a release of one."""
    is_iso = path.is_file() and archive_kind(path) == "iso"
    reader = {"bsdtar": "libarchive-tools"} if is_iso else {}
    check_installed({**reader, "mksquashfs": "squashfs-tools", "unsquashfs": "squashfs-tools"})


def take_over(
    path: Path, out: Path | None, wanted: stage0.Asked | None, *, is_kept: bool, say: Callable[[str], None]
) -> tuple[Adopted, dict[str, Any]]:
    """Make a release directory of a live image, with an initramfs if one is wanted; return it and its facts.

    `is_kept` is as `finish` has it. Raises what `find_image` and `adopt` raise.
    """
    check_tools(path)
    medium, image = _open(path)
    adopted = adopt(medium, image, out or default_out(path), name=name_of(path), say=say)
    return finish(adopted, wanted, label=str(path), is_kept=is_kept, say=say)


def look_at(path: Path) -> tuple[list[str], dict[str, Any]]:
    """Return what would become of a live image, in lines and as JSON has it; its images are not looked into."""
    _, image = _open(path)
    lines = [
        f"{path} is a Debian Live image: kernel {image.kernel}, root {', '.join(image.images)}",
        f"kernel arguments: {' '.join(image.arguments)}"
        if not image.release_toml
        else f"settings: {image.release_toml}",
        *lost_lines(image.lost),
    ]
    facts = {
        "release": str(path), "kernel": image.kernel, "images": list(image.images),
        "arguments": list(image.arguments), "lost": list(image.lost),
    }  # fmt: skip
    return lines, facts


def _open(path: Path) -> tuple[Medium, LiveImage]:
    medium: Medium = FolderMedium(path) if path.is_dir() else ArchiveMedium(path, archive_kind(path))
    return medium, find_image(medium.names, medium.texts, label=medium.label)
