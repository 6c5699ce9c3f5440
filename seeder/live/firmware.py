"""Which firmware of a live image's root its network cards may ask for before there is a root. Pure but for modinfo(8).

A card of a rack may need it for its first packet, and the server that builds the initramfs need not have it: firmware
comes from packages of their own, which the image's builder has chosen. What other drivers want they find in the root.
"""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from seeder.squashfs.reader import Inode
from swarmboot.errors import ResourceError, ToolMissingError
from swarmboot.host.programs import run_program

_FOLDERS = (b"usr/lib/firmware/", b"lib/firmware/")
_DRIVERS = ("kernel/drivers/net/ethernet", "kernel/drivers/net/phy", "kernel/drivers/infiniband")
_PACKED = (".xz", ".zst")
_LINKS_MAX = 8
_BOUND_S = 120


def firmware_wanted(modules: Path, nodes: Mapping[bytes, Inode]) -> list[str]:
    """Return the files of a root, links with what they lead to, that the card drivers below a folder may ask for.

    Raises ToolMissingError or ResourceError if the drivers cannot be asked.
    """
    files = {name: path for path, name in _files(nodes)}
    if not files or not (drivers := sorted(map(str, _drivers(modules)))):
        return []
    if not shutil.which("modinfo"):
        raise ToolMissingError("modinfo is not installed", hint="install the package kmod")
    asked = run_program(("modinfo", "-F", "firmware", *drivers), bound_s=_BOUND_S, failure=ResourceError).split()
    return sorted({name for path in _matching(asked, files) for name in _with_targets(path, nodes)})


def _files(nodes: Mapping[bytes, Inode]) -> Iterator[tuple[str, str]]:
    """Yield the path of each file of firmware and by what name drivers ask for it."""
    for raw, inode in nodes.items():
        for folder in _FOLDERS:
            if raw.startswith(folder) and inode.kind in ("file", "link"):
                path = raw.decode(errors="surrogateescape")
                name = path[len(folder) :]
                packed = next((end for end in _PACKED if name.endswith(end)), "")
                yield path, name.removesuffix(packed)


def _drivers(modules: Path) -> Iterator[Path]:
    for folder in _DRIVERS:
        yield from (modules / folder).rglob("*.ko*")


def _matching(asked: Collection[str], files: Mapping[str, str]) -> set[str]:
    plain = {files[name] for name in asked if name in files}
    patterns = [name for name in asked if "*" in name or "?" in name]
    return plain | {path for name, path in files.items() if any(fnmatchcase(name, each) for each in patterns)}


def _with_targets(path: str, nodes: Mapping[bytes, Inode]) -> Iterable[str]:
    """Return a path and, of a link, where it leads among the firmware."""
    paths = [path]
    for _ in range(_LINKS_MAX):
        inode = nodes.get(paths[-1].encode(errors="surrogateescape"))
        if inode is None or inode.kind != "link":
            break
        target = inode.target.decode(errors="surrogateescape")
        path = posixpath.normpath(posixpath.join("/", posixpath.dirname(paths[-1]), target)).lstrip("/")
        if not path.encode(errors="surrogateescape").startswith(_FOLDERS):
            break
        paths.append(path)
    return paths
