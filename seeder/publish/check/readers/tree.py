"""A root as a node is going to see it: layers over one another, links followed inside. Pure.

Overlayfs (Documentation/filesystems/overlayfs.rst): an upper layer's file, link or whiteout hides what lies below it,
folders are merged. What it says by extended attributes (opaque folders) cannot be listed, and is passed over.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from seeder.program import Program

_LINKS_MAX = 40


@dataclass(frozen=True, slots=True)
class Inode:
    """One name in an image: its `kind` as in `swarmboot.archive`, or `whiteout`; a link's `target`; its owner."""

    kind: str
    mode: int = 0
    target: str = ""
    size_bytes: int = 0
    has_capability: bool = False
    uid: int = 0
    gid: int = 0

    @property
    def is_program(self) -> bool:
        """Return whether it is a file that may be executed."""
        return self.kind == "file" and bool(self.mode & 0o111)


def _no_program(_path: str) -> Program | None:
    return None


def _no_text(_path: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Layer:
    """What an image holds, by path without a leading slash: folders, links, programs and what else was asked for.

    `program` returns what a program says of itself, None if it cannot be started; `text` a small file's contents.
    `attributes` are names of extended attributes that it has, whosoever: a squashfs's all, a tar's of overlays.
    """

    label: str
    inodes: Mapping[str, Inode]
    program: Callable[[str], Program | None] = field(default=_no_program)
    text: Callable[[str], str] = field(default=_no_text)
    attributes: frozenset[str] = frozenset()

    def children(self, folder: str) -> list[str]:
        """Return the names in a folder of this layer, sorted."""
        prefix = f"{folder}/" if folder else ""
        names = (path[len(prefix) :] for path in self.inodes if path.startswith(prefix))
        return sorted({name.split("/", 1)[0] for name in names if name})


class Tree:
    """Layers over one another, the first at the bottom."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        self._layers = tuple(layers)

    def find(self, path: str) -> tuple[Layer, Inode] | None:
        """Return the topmost layer that has a path, whose folders are no links, and what it has there."""
        for layer in reversed(self._layers):
            inode = layer.inodes.get(path)
            if inode is not None:
                return None if inode.kind == "whiteout" else (layer, inode)
        return None

    def resolve(self, path: str) -> str | None:
        """Return where a path leads, links followed as in the booted root; None if it leads nowhere."""
        left = [part for part in path.split("/") if part]
        at: list[str] = []
        hops = 0
        while left:
            part = left.pop(0)
            if part in (".", ".."):
                at = at[:-1] if part == ".." else at
                continue
            found = self.find("/".join([*at, part]))
            if found is None or (left and found[1].kind not in ("folder", "link")):
                return None
            if found[1].kind != "link":
                at.append(part)
                continue
            hops += 1
            if hops > _LINKS_MAX:
                return None
            target = found[1].target
            at = [] if target.startswith("/") else at
            left = [piece for piece in target.split("/") if piece] + left
        return "/".join(at)

    def folder_names(self, folder: str) -> list[str]:
        """Return the names in a folder of all layers, links followed, sorted."""
        real = self.resolve(folder)
        if real is None:
            return []
        names = {name for layer in self._layers for name in layer.children(real)}
        return sorted(name for name in names if self.find(posixpath.join(real, name)) is not None)
