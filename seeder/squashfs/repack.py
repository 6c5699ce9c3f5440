"""Packs a squashfs again with some files first, or each file apart, and nothing else about it changed: needs root, and
squashfs-tools.

unsquashfs(1) and mksquashfs(1) do it. That owners, modes, times, links, devices, sizes and extended attributes are
those of before is looked at afterwards, in both images. The same image and order make the same bytes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from seeder.squashfs.reader import Squashfs, read_squashfs
from seeder.squashfs.sort_file import sort_lines
from seeder.squashfs.superblock import Flag, packing_options
from swarmboot.errors import PrivilegeError, ReleaseError, ToolMissingError
from swarmboot.host.programs import run_program

_BOUND_S = 6 * 3600.0
_ALWAYS = ("-noappend", "-no-progress", "-quiet")


def check_can_repack() -> None:
    """Raise PrivilegeError or ToolMissingError where nothing can be packed again."""
    if missing := [program for program in ("unsquashfs", "mksquashfs") if not shutil.which(program)]:
        raise ToolMissingError(f"not installed: {', '.join(missing)}", hint="apt-get install squashfs-tools")
    if os.geteuid() != 0:
        raise PrivilegeError(
            "sorting an image needs root", expected="to give files their owners, devices and attributes",
            hint="run it as root, or leave out --sort",
        )  # fmt: skip


def room_bytes(image: Squashfs) -> int:
    """Return what an image takes while it is packed again: unpacked, and packed once more."""
    files = {id(node): node.size_bytes for node in image.nodes.values() if node.kind == "file"}
    return sum(files.values()) + 4096 * len(image.nodes) + image.superblock.size_bytes


def repack(path: Path, image: Squashfs, order: Sequence[bytes], *, folder: Path) -> tuple[Path, list[bytes]]:
    """Return the image packed again in a folder that only its owner may enter, and which files could not be named.

    `order` are paths of files, none of them a link. Raises ReleaseError if a program fails, or would lose anything.
    """
    listing = folder / "order"
    text, missing = sort_lines(order)
    listing.write_bytes(text)
    options = (*packing_options(image.superblock, image.options), "-sort", str(listing))
    return _packed_again(path, image, options, folder), missing


def repack_apart(path: Path, image: Squashfs, *, folder: Path) -> Path:
    """Return the image packed again in a folder, as `repack` does, with no two files in a block of it (fragments)."""
    flags = image.superblock.flags & ~Flag.ALWAYS_FRAGMENTS | Flag.NO_FRAGMENTS
    return _packed_again(path, image, packing_options(replace(image.superblock, flags=flags), image.options), folder)


def _packed_again(path: Path, image: Squashfs, options: Sequence[str], folder: Path) -> Path:
    tree, out = folder / "tree", folder / "image.squashfs"
    run_tool(("unsquashfs", "-no-progress", "-quiet", "-d", str(tree), str(path)), f"unpacking {image.label}")
    run_tool(("mksquashfs", str(tree), str(out), *options, *_ALWAYS), f"packing {image.label}")
    shutil.rmtree(tree)
    check_alike(image, read_squashfs(out, label=image.label))
    return out


def run_tool(command: Sequence[str], what: str) -> None:
    """Run a program; raise ReleaseError with its last words if it fails, or has been unable to do a part of it.

    Without SOURCE_DATE_EPOCH, with which mksquashfs refuses times that it is told; the image keeps its own.
    """
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    run_program(
        command, bound_s=_BOUND_S, failure=ReleaseError, what=what, environment={**environment, "LC_ALL": "C"},
        hint="publish without --sort, or put the site on a disk that keeps all of it: xattrs, devices, owners",
    )  # fmt: skip


def check_alike(before: Squashfs, after: Squashfs) -> None:
    """Raise ReleaseError, naming the first path that differs, if two images differ in more than where things lie."""
    for path in sorted(before.nodes.keys() | after.nodes.keys()):
        old, new = before.nodes.get(path), after.nodes.get(path)
        if old is None or new is None or old.facts != new.facts:
            raise ReleaseError(
                f"{before.label} would not be the same, packed again: /{path.decode(errors='replace')}",
                expected=str(old.facts if old else None), found=str(new.facts if new else None),
                hint="publish without --sort",
            )  # fmt: skip
