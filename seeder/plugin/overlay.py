"""An overlay's upper folder in plain words: what is brought and what is taken away, nothing said by attributes. Pure.

Follows the kernel's Documentation/filesystems/overlayfs.rst, fuse-overlayfs(1), and the OCI image specification for
whiteouts by name. An opaque folder hides what the root has in it; here each name that it hides is taken away, which a
squashfs and a tar say alike, which shows in any listing, and which leaves alone what other plugins bring there.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from seeder.publish.check.overlay_words import overlay_word
from seeder.publish.check.readers.tree import Inode
from swarmboot.archive import Entry
from swarmboot.errors import ReleaseError

_WHITEOUT, _OPAQUE, _AUFS = ".wh.", ".wh..wh..opq", ".wh..wh."
_UNDERSTOOD = ("", "opaque", "whiteout")


def whiteout(path: str) -> Entry:
    """Return what takes a name away, as overlayfs and nodes have it: a character device 0:0."""
    return Entry(path, "character", 0)


class Below:
    """The names of a root image, and which of them a folder holds."""

    def __init__(self, inodes: Mapping[str, Inode]) -> None:
        self.inodes = inodes
        self._names: dict[str, set[str]] = defaultdict(set)
        for path in inodes:
            folder, name = posixpath.split(path)
            self._names[folder].add(name)

    def children(self, folder: str) -> list[str]:
        """Return the paths in a folder, sorted."""
        return sorted(posixpath.join(folder, name) for name in self._names.get(folder, ()))

    def is_folder(self, path: str) -> bool:
        """Return whether the root has a folder, and no link, of that path."""
        return path == "" or self.inodes.get(path, Inode("")).kind == "folder"


def plain(found: Iterable[Entry], below: Below | None, *, label: str) -> dict[str, Entry]:
    """Return what an upper folder says, by path: entries and whiteouts. The last of one name counts.

    `below` is the root image that it lies over, None where that is not known. Raises ReleaseError for what cannot be
    said without it, and for files whose contents or owners lie elsewhere.
    """
    entries: dict[str, Entry] = {}
    opaque: set[str] = set()
    for entry in found:
        path = entry.name
        folder, name = posixpath.split(path)
        words = _words(entry, label)
        if name == _OPAQUE:
            opaque.add(folder)
        elif name.startswith(_AUFS):
            continue
        elif name.startswith(_WHITEOUT):
            gone = posixpath.join(folder, name.removeprefix(_WHITEOUT))
            entries[gone] = whiteout(gone)
        elif entry.is_whiteout or ("whiteout" in words and entry.kind == "file"):
            entries[path] = whiteout(path)
        else:
            entries[path] = entry
            if words.get("opaque") == b"y":
                opaque.add(path)
    entries.update((path, whiteout(path)) for path in hidden(opaque, entries, below, label=label))
    return entries


def _words(entry: Entry, label: str) -> dict[str, bytes]:
    """Return what overlayfs says of a file, without its bookkeeping; raise ReleaseError for what is not known here."""
    words = {}
    for name, value in entry.attributes:
        word = overlay_word(name)
        if word not in _UNDERSTOOD:
            raise ReleaseError(
                f"{label} holds /{entry.name} with the attribute {name}: what it means lies elsewhere",
                expected="whole files, as an overlay with redirect_dir=off,metacopy=off keeps them, made as root",
                hint="make it again by `swarmboot plugin make`",
            )
        if word:
            words[word] = value
    return words


def hidden(opaque: Iterable[str], entries: Mapping[str, Entry], below: Below | None, *, label: str) -> Iterator[str]:
    """Yield the names of the root that opaque folders hide, the topmost ones."""
    for folder in sorted(opaque):
        if below is None:
            raise ReleaseError(
                f"{label} replaces the folder /{folder}, which takes away what the root has in it",
                expected="the release that it goes over, to know the names",
                hint="name it by --against RELEASE",
            )
        yield from _hidden_in(folder, entries, below)


def _hidden_in(folder: str, entries: Mapping[str, Entry], below: Below) -> Iterator[str]:
    if not below.is_folder(folder):
        return
    for path in below.children(folder):
        own = entries.get(path)
        if own is None:
            yield path
        elif own.kind == "folder":
            yield from _hidden_in(path, entries, below)


def needed(
    entries: Mapping[str, Entry], below: Below | None, placed: Collection[str] = (), same: Collection[str] = ()
) -> dict[str, Entry]:
    """Return entries without those that change nothing: whiteouts of nothing, what the root has just so.

    Folders that were only `placed` for others count as had, and so do files that hold the `same`.
    """
    if below is None:
        return dict(entries)
    kept: dict[str, Entry] = {}
    holding: set[str] = set()
    for path in sorted(entries, reverse=True):  # what is in a folder comes before it
        entry = entries[path]
        is_there = path in below.inodes
        if entry.is_whiteout and not is_there:
            continue
        is_alike = is_there and _is_alike(entry, below.inodes[path])
        if entry.kind == "folder" and path not in holding and (path in placed or is_alike):
            continue
        if path in same and is_alike and not entry.capability:
            continue
        kept[path] = entry
        holding.add(posixpath.dirname(path))
    return kept


def _is_alike(entry: Entry, inode: Inode) -> bool:
    return entry.kind == inode.kind and (entry.mode, entry.uid, entry.gid) == (inode.mode, inode.uid, inode.gid)


def with_folders(entries: Mapping[str, Entry], below: Below) -> dict[str, Entry]:
    """Return entries and the folders around them that they lack, as the root has them: a squashfs needs each."""
    whole = dict(entries)
    for path in entries:
        folder = posixpath.dirname(path)
        while folder and folder not in whole:
            inode = below.inodes.get(folder, Inode("folder", 0o755))
            whole[folder] = Entry(folder, "folder", inode.mode, inode.uid, inode.gid)
            folder = posixpath.dirname(folder)
    return whole


def clamped(entries: Mapping[str, Entry], *, to_s: float) -> dict[str, Entry]:
    """Return entries of which none is younger than `to_s`, as SOURCE_DATE_EPOCH is meant."""
    return {path: replace(each, modified_s=min(each.modified_s, to_s)) for path, each in entries.items()}
