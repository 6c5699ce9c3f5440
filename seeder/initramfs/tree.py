"""An initramfs unpacked into a folder, and packed again: owners, modes and devices are kept beside the files.

Names are followed through the initramfs's own links, never out of the folder. It will not make device nodes there.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from seeder.initramfs.archives import initramfs_entries
from seeder.initramfs.groups import EARLY
from seeder.initramfs.links import follow, is_file
from swarmboot.archive import KINDS, Entry

_CHUNK_BYTES = 1 << 20
_TYPES = {kind: bits for bits, kind in KINDS.items()}
_WITH_DATA = ("file", "hard link")
_END = "TRAILER!!!"
ALIGNMENT = 512
"""What cpio(1) pads an archive to, which is more than the four bytes that the kernel wants."""


@dataclass(slots=True)
class Unpacked:
    """What an initramfs held: its entries by name, data below `folder`; those that come `early` apart."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    early: dict[str, Entry] = field(default_factory=dict)

    def path(self, name: str, *, is_early: bool = False) -> Path:
        """Return where the data of an entry lies."""
        return self.folder / ("early" if is_early else "tree") / name

    @property
    def tree(self) -> Path:
        """Return the folder that looks as the machine's root is going to."""
        return self.folder / "tree"

    def forget(self, name: str) -> None:
        """Leave an entry out that is no folder."""
        del self.entries[name]
        self.path(name).unlink(missing_ok=True)

    def put(self, name: str, source: Path) -> None:
        """Have the contents of another file under a name, new or not, and whatever had it."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        shutil.copyfile(source, path)
        before = self.entries.get(name, Entry(name, "file"))
        mode = before.mode if before.kind in _WITH_DATA else 0o644
        self.entries[name] = replace(before, kind="file", mode=mode, target="", size_bytes=source.stat().st_size)


def unpack(image: Path, folder: Path) -> Unpacked:
    """Unpack an initramfs into a folder as the kernel does (init/initramfs.c); raise as `initramfs_entries` does.

    What the kernel passes over is left out: what has a name where a folder stands that is not empty, or below a file.
    """
    unpacked = Unpacked(folder)
    unpacked.tree.mkdir()
    for kind, entry in initramfs_entries(image, label=str(image)):
        is_early = not kind and f"{entry.name}/".startswith(EARLY)
        entries, root = (unpacked.early, unpacked.folder / "early") if is_early else (unpacked.entries, unpacked.tree)
        path = _place_for(entry, root)
        if path is not None:
            _lay_down(entry, path, root)
            name = "" if path == root else str(path.relative_to(root))
            entries[name] = replace(entry, name=name, read=None)
    return unpacked


def _place_for(entry: Entry, root: Path) -> Path | None:
    """Return where an entry is to lie, with nothing of another kind there any more; None where it cannot.

    A link is not followed but replaced, with a folder too, as `clean_path` in the kernel's init/initramfs.c does.
    """
    if entry.kind == "hard link" and not is_file(root, entry.target):
        return None
    parent, _, last = entry.name.rpartition("/")
    try:
        at = follow(root, parent)
        at.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EEXIST, errno.ENOTDIR):
            return None
        raise
    path = at / last
    if path.is_dir() and not path.is_symlink():
        if entry.kind != "folder":
            try:
                path.rmdir()
            except OSError as error:
                if error.errno == errno.ENOTEMPTY:
                    return None
                raise
    elif entry.kind != "file" or path.is_symlink():
        path.unlink(missing_ok=True)
    return path


def _lay_down(entry: Entry, to: Path, root: Path) -> None:
    """Make a file, folder or link, or write a file anew by all its names; of devices and pipes nothing."""
    if entry.kind == "folder":
        to.mkdir(exist_ok=True)
    elif entry.kind == "link":
        to.symlink_to(entry.target)
    elif entry.kind in _WITH_DATA:
        if entry.kind == "hard link":
            to.hardlink_to(follow(root, entry.target))
        _write(entry, to)


def _write(entry: Entry, to: Path) -> None:
    if entry.kind == "hard link" and not entry.size_bytes:
        return
    with to.open("wb") as file:
        while entry.read is not None and (data := entry.read(_CHUNK_BYTES)):
            file.write(data)


def write_archive(file: IO[bytes], unpacked: Unpacked, names: Iterable[str], *, is_early: bool = False) -> None:
    """Write a cpio archive of these entries and the folders above them: newc, padded with zero bytes to ALIGNMENT.

    Of files that are linked the last has the data, as with cpio(1).
    """
    entries = unpacked.early if is_early else unpacked.entries
    listed = [(name, entries.get(name, Entry(name, "folder", 0o755))) for name in sorted(with_folders(names))]
    paths = {name: unpacked.path(name, is_early=is_early) for name, entry in listed if entry.kind in _WITH_DATA}
    inodes = {name: path.stat().st_ino for name, path in paths.items()}
    links, left = Counter(inodes.values()), Counter(inodes.values())
    numbers: dict[int, int] = {}
    size_bytes = 0
    for number, (name, entry) in enumerate(listed, start=1):
        data, inode = os.fsencode(entry.target) if entry.kind == "link" else b"", inodes.get(name, 0)
        if inode:
            left[inode] -= 1
            data = b"" if left[inode] else paths[name].read_bytes()
            number = numbers.setdefault(inode, number)
        size_bytes += _write_entry(file, entry, name or ".", data, number=number, links=links.get(inode, 1))
    size_bytes += _write_entry(file, Entry("", ""), _END, b"", number=0, links=1)
    file.write(bytes(-size_bytes % ALIGNMENT))


def _write_entry(file: IO[bytes], entry: Entry, name: str, data: bytes, *, number: int, links: int) -> int:
    """Write an entry; return how many bytes that was."""
    mode = entry.mode | _TYPES.get("file" if entry.kind == "hard link" else entry.kind, 0)
    raw_name = os.fsencode(name) + b"\0"
    numbers = (
        number, mode, entry.uid, entry.gid, links, int(entry.modified_s), len(data), 0, 0, os.major(entry.device),
        os.minor(entry.device), len(raw_name), 0,
    )  # fmt: skip
    header = b"070701" + b"".join(b"%08x" % value for value in numbers) + raw_name
    parts = (header, bytes(-len(header) % 4), data, bytes(-len(data) % 4))
    return sum(map(file.write, parts))


def with_folders(names: Iterable[str]) -> Iterator[str]:
    """Yield the folders above some names, and the names, each once and a folder before what is in it."""
    seen: set[str] = set()
    for name in names:
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            part = "/".join(parts[:depth])
            if part not in seen:
                seen.add(part)
                yield part
