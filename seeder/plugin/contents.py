"""What is in a plugin, and what it does to a root image and to a release's other plugins: `contents`, which is pure."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from seeder.plugin.root_image import RootImage, everything
from seeder.publish.check.finding import Finding, some
from seeder.publish.check.plugins import CAPABILITY, CAPABLE, check_plugin, laid_over
from seeder.publish.check.readers.images import read_image
from seeder.publish.check.readers.tree import Inode, Layer, Tree
from seeder.publish.release_dir import PLUGIN_FORMATS, ReleaseFile, check_regular
from seeder.squashfs.attributes import attribute_names
from swarmboot.archive import Entry, refusal
from swarmboot.errors import UnreadableError
from swarmboot.release.manifest import Role
from swarmboot.text.units import format_size

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Contents:
    """What a plugin holds and does. Paths begin with a slash and are sorted; all of them are here, however many.

    `hides` are the root's files that it brings anew, `deletes` what it takes away, `conflicts` the names that it and
    another plugin have otherwise, by the other's label; None where there was no root to compare with.
    """

    label: str
    size_bytes: int
    unpacked_bytes: int
    kinds: Mapping[str, int]
    special: Mapping[str, list[str]]
    deletes: list[str]
    hides: list[str] | None = None
    conflicts: Mapping[str, list[str]] | None = None
    findings: tuple[Finding, ...] = ()

    def value(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {
            "plugin": self.label, "size_bytes": self.size_bytes, "unpacked_bytes": self.unpacked_bytes,
            "kinds": dict(self.kinds), "special": dict(self.special), "deletes": self.deletes, "hides": self.hides,
            "conflicts": None if self.conflicts is None else dict(self.conflicts),
            "findings": [finding.value for finding in self.findings],
        }  # fmt: skip

    def lines(self) -> list[str]:
        """Return it for a person."""
        counts = ", ".join(_counted(kind, count) for kind, count in sorted(self.kinds.items())) or "nothing"
        size = f"{format_size(self.size_bytes)}, {format_size(self.unpacked_bytes)} unpacked"
        rows = [f"{self.label}: {size}: {counts}"]
        rows += [f"brings ({word}): {some(paths, most=_SHOWN)}" for word, paths in self.special.items()]
        rows += [f"deletes: {some(self.deletes, most=_SHOWN)}"] if self.deletes else []
        rows += [f"hides of the root: {some(self.hides, most=_SHOWN)}"] if self.hides else []
        for other, paths in (self.conflicts or {}).items():
            rows.append(f"conflicts with {other}: {some(paths, most=_SHOWN)}")
        rows += [f"{'refused' if each.is_fatal else 'note'}: {each.line}" for each in self.findings]
        return rows


def _counted(kind: str, count: int) -> str:
    name = f"{kind} device" if kind in ("character", "block") else kind
    return f"{count} {name}{'s' if count != 1 else ''}"


def plugin_file(path: Path, label: str = "") -> ReleaseFile:
    """Return a plugin's file; raise UnreadableError for what is none by its name."""
    kind = next((kind for kind in PLUGIN_FORMATS if path.name.endswith(f".{kind}")), "")
    size_bytes = check_regular(path, label=str(path)).st_size
    if not kind:
        raise UnreadableError(f"{path} is no plugin", expected=f"a file that ends in .{', .'.join(PLUGIN_FORMATS)}")
    return ReleaseFile(path, label or str(path), path.name, Role.PLUGIN, kind, size_bytes)


def read_plugin(path: Path, root: RootImage | None) -> Contents:
    """Return what a plugin holds and, over a root image and among its release's plugins, does; raises as readers do."""
    file = plugin_file(path)
    layer = read_image(file, is_kept=everything).layer
    if file.format == "squashfs":
        layer = replace(layer, attributes=attribute_names(path, label=file.label))
    release = root.release if root else None
    others = [
        each
        for each in (release.files if release else ())
        if each.role is Role.PLUGIN and each.name != file.name and each.path.resolve() != path.resolve()
    ]
    allow = release.settings.allow if release else ()
    stacked = _as_layer(file, layer, root)
    rest = {each.label: _as_layer(each, read_image(each, is_kept=everything).layer, root) for each in others}
    return contents(file, layer, stacked, root.layer if root else None, rest, allow)


def _as_layer(file: ReleaseFile, layer: Layer, root: RootImage | None) -> Layer:
    """Return a plugin's names where they end up: those of a tar follow the root's links."""
    return laid_over(layer, Tree([root.layer])) if root and file.format != "squashfs" else layer


def contents(
    file: ReleaseFile, layer: Layer, stacked: Layer, root: Layer | None, others: Mapping[str, Layer],
    allow: tuple[str, ...],
) -> Contents:  # fmt: skip
    """Return what the `layer` of a plugin holds, and what it does as `stacked` over a root, beside others."""
    inodes = stacked.inodes
    return Contents(
        file.label,
        file.size_bytes,
        sum(inode.size_bytes for inode in inodes.values() if inode.kind == "file"),
        Counter(inode.kind for inode in inodes.values()),
        _special(inodes, layer),
        sorted(f"/{path}" for path, inode in inodes.items() if inode.kind == "whiteout"),
        None if root is None else _hidden(inodes, root.inodes),
        None
        if root is None
        else {label: both for label, other in others.items() if (both := _both(inodes, other.inodes))},
        () if root is None else tuple(check_plugin(layer, root, is_layer=file.format == "squashfs", allow=allow)),
    )


def _special(inodes: Mapping[str, Inode], layer: Layer) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if CAPABILITY in layer.attributes:
        found["setuid"] = [CAPABLE]
    for path, inode in sorted(inodes.items()):
        entry = Entry(path, inode.kind, inode.mode, device=1, has_capability=inode.has_capability)
        if word := refusal(entry, ()):
            found.setdefault(word, []).append(f"/{path}")
    return found


def _hidden(inodes: Mapping[str, Inode], root: Mapping[str, Inode]) -> list[str]:
    there = ((path, inode, root.get(path)) for path, inode in inodes.items() if inode.kind != "whiteout")
    return sorted(f"/{path}" for path, inode, below in there if below and not (inode.kind == below.kind == "folder"))


def _both(mine: Mapping[str, Inode], other: Mapping[str, Inode]) -> list[str]:
    """Return the names that two plugins have and do not agree on, and what the one takes away of the other's."""
    same = {path for path in mine.keys() & other.keys() if not _agree(mine[path], other[path])}
    return sorted(f"/{path}" for path in same | _under(mine, other) | _under(other, mine))


def _agree(one: Inode, other: Inode) -> bool:
    if one.kind == other.kind == "link":
        return one.target == other.target
    return one.kind == other.kind and one.kind in ("folder", "whiteout")


def _under(taker: Mapping[str, Inode], other: Mapping[str, Inode]) -> set[str]:
    """Return what of another plugin lies below a name that the one takes away or has as a file or link."""
    ends = {path for path, inode in taker.items() if inode.kind != "folder"}
    return {path for path in other if any(parent in ends for parent in _parents(path))}


def _parents(path: str) -> Iterable[str]:
    while path := posixpath.dirname(path):
        yield path
