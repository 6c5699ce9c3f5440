"""Coinboot's initramfs: an archive around the root's own, which a small init unpacks into a tmpfs.

debirf packs the root into `rootfs.cgz`, `rootfs.czst` or `rootfs.cxz` (cpio, newc; what its name says of the packing
need not be so), and that with busybox and a few kernel modules into the archive that the kernel loads
(github.com/frzb/coinboot, debirf/debirf: create_initrd_nested and create_initrd_plugin). Its method `stupid_simple`
packs the root alone. Nothing of an archive is followed: only plain files are written, below the folders given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seeder.initramfs.archives import initramfs_entries
from seeder.takeover.root_image import data_of
from swarmboot.archive import Entry
from swarmboot.errors import ReleaseError

STATUS = "var/lib/dpkg/status"
_INNER = re.compile(r"rootfs\.(c[a-z0-9]+|cpio(\.[a-z0-9]+)?)\Z")
_INITS = ("sbin/init", "usr/sbin/init", "lib/systemd/systemd", "usr/lib/systemd/systemd")
_MODULE = re.compile(r"(?:usr/)?lib/modules/([^/]+)/(.+)\Z")
_CONFIG = re.compile(r"boot/(config-[^/]+)\Z")


@dataclass(slots=True)
class Nested:
    """A root's archive, and what was learnt of it. `modules` are the folders of kernel modules in it, by version.

    `tree` holds the root's kernel modules, with those beside it, and kernel configurations; `brought` are the modules
    that were only beside it; `newest_s` is the newest time of an entry, in Unix seconds; `packages` is dpkg's list in
    it, None without one.
    """

    root: Path
    label: str
    tree: Path
    modules: dict[str, str] = field(default_factory=dict)
    brought: tuple[str, ...] = ()
    newest_s: int = 0
    packages: str | None = None

    def entries(self) -> Iterator[Entry]:
        """Yield the root's entries; the data of one must be read before the next is asked for."""
        for _, entry in initramfs_entries(self.root, label=self.label):
            yield entry


def open_nested(initramfs: Path, work: Path, *, label: str) -> Nested:
    """Return the root in an initramfs, its archive and kernel modules written below `work`.

    Raises ReleaseError if there is none, or if an archive is broken.
    """
    beside: dict[str, Path] = {}
    inner, is_root = "", False
    for _, entry in initramfs_entries(initramfs, label=label):
        if entry.kind == "file" and _INNER.match(entry.name):
            inner = entry.name
            _write(entry, work / "rootfs")
        elif entry.kind == "file" and (module := _MODULE.match(entry.name)) and module[2].startswith("kernel/"):
            beside[entry.name] = _write(entry, work / "beside" / module[1] / module[2])
        is_root = is_root or entry.name in _INITS
    if not inner and not is_root:
        raise ReleaseError(
            f"{label} holds no root",
            expected=f"rootfs.cgz, rootfs.czst or rootfs.cxz in it, or {_INITS[0]}",
            found="neither",
            hint="take the initramfs that Coinboot's debirf has made",
        )
    nested = Nested(work / "rootfs" if inner else initramfs, f"{inner} in {label}" if inner else label, work / "tree")
    _look(nested)
    if inner:
        nested.brought = tuple(_bring(nested, beside))
    return nested


def _look(nested: Nested) -> None:
    """Write the root's modules and kernel configurations, and keep dpkg's list."""
    for entry in nested.entries():
        nested.newest_s = max(nested.newest_s, int(entry.modified_s))
        module = _MODULE.match(entry.name)
        if module:
            nested.modules.setdefault(module[1], entry.name.removesuffix(module[2]).rstrip("/"))
        if entry.kind != "file":
            continue
        if module:
            _write(entry, nested.tree / "lib/modules" / module[1] / module[2])
        elif config := _CONFIG.match(entry.name):
            _write(entry, nested.tree / "boot" / config[1])
        elif entry.name == STATUS:
            nested.packages = b"".join(data_of(entry)).decode(errors="surrogateescape")


def _bring(nested: Nested, beside: dict[str, Path]) -> Iterator[str]:
    """Put modules that lie beside the root's archive among the root's, where it has none of that name; yield them."""
    for name, path in sorted(beside.items()):
        version, _, rest = name.partition("lib/modules/")[2].partition("/")
        to = nested.tree / "lib/modules" / version / rest
        if version in nested.modules and not to.exists():
            to.parent.mkdir(parents=True, exist_ok=True)
            path.rename(to)
            yield f"{version}/{rest}"


def _write(entry: Entry, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for part in data_of(entry):
            file.write(part)
    return path
