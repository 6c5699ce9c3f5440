"""The root image that a plugin goes over: which it is, what is in it, and as a squashfs that can be mounted."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seeder.plugin.packing import pack
from seeder.publish.check.readers.images import file_of, read_image
from seeder.publish.check.readers.tree import Inode, Layer
from seeder.publish.images.unpacked_size import unpacking
from seeder.publish.release_dir import ROOT_FORMATS, Release, ReleaseFile, check_regular, read_release
from seeder.takeover.root_image import whole_files, with_parents
from swarmboot.archive import Entry, cpio_entries, tar_entries
from swarmboot.errors import UnreadableError
from swarmboot.release.manifest import Role


@dataclass(frozen=True, slots=True)
class RootImage:
    """A root image, and the release that it is of, None for a file by itself."""

    file: ReleaseFile
    layer: Layer
    release: Release | None = None


TEXT_MAX_BYTES = 1 << 26
"""The most that is read of a text; the lists of packages of large systems are a few megabytes."""


def everything(_path: str, _node: Inode) -> bool:
    """Keep all names of an image."""
    return True


def read_root(path: Path) -> RootImage:
    """Return the root image of a release's folder, or in a file; raises as its readers do, UnreadableError for none."""
    release = read_release(path) if path.is_dir() else None
    file = next(each for each in release.files if each.role is Role.ROOT) if release else _file(path)
    return RootImage(file, read_image(file, is_kept=everything).layer, release)


def _file(path: Path) -> ReleaseFile:
    kind = next((kind for kind in ROOT_FORMATS if path.name.endswith(f".{kind}")), "")
    size_bytes = check_regular(path, label=str(path)).st_size
    if not kind:
        raise UnreadableError(
            f"{path} is no root image",
            expected=f"a release's folder, or a file that ends in .{', .'.join(ROOT_FORMATS)}",
        )
    return ReleaseFile(path, str(path), path.name, Role.ROOT, kind, size_bytes)


def text_of(root: RootImage, path: str) -> str:
    """Return what a small file of the root holds, nothing if it is not there."""
    if root.file.format == "squashfs":
        return file_of(root.file, path, TEXT_MAX_BYTES).decode(errors="replace") if path in root.layer.inodes else ""
    found = list(_texts(root.file, path))
    return found[-1] if found else ""


def _texts(file: ReleaseFile, path: str) -> Iterator[str]:
    for entry in _entries(file, [0]):
        if entry.name == path and entry.read is not None:
            yield entry.read(TEXT_MAX_BYTES).decode(errors="replace")


def as_squashfs(root: RootImage, folder: Path) -> tuple[Path, int]:
    """Return the image as a squashfs, made in a folder if it is none, and its time in seconds, or its newest file's."""
    if root.file.format == "squashfs":
        with root.file.path.open("rb") as file:
            (time_s,) = struct.unpack("<I", file.read(12)[8:])  # mkfs_time, squashfs_fs.h
        return root.file.path, time_s
    newest, image = [0], folder / "rootfs.squashfs"
    pack(with_parents(whole_files(_entries(root.file, newest))), image, time_s=0, is_quick=True)
    return image, newest[0]


def _entries(file: ReleaseFile, newest: list[int]) -> Iterator[Entry]:
    read = cpio_entries if file.format.startswith("cpio") else tar_entries
    with unpacking(file.path, file.format, label=file.label) as archive:
        for entry in read(archive, name=file.label):  # type: ignore[arg-type]
            if entry.name:
                newest[0] = max(newest[0], int(entry.modified_s))
                yield entry
        archive.drain()
