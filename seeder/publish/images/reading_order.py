"""`publish --trace` and `--sort`: a trace's files become bytes of the images that are published, in their order.

An image is packed again with those files first, or left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from seeder.publish.release_dir import Release, ReleaseFile
from seeder.site.writer import SiteWriter
from seeder.squashfs.places import BlocksRead, Part, bytes_under, resolve
from seeder.squashfs.reader import Squashfs, read_squashfs
from seeder.squashfs.repack import check_can_repack, repack, room_bytes
from seeder.squashfs.superblock import SIZE_BYTES
from swarmboot.errors import MalformedSettingError, ReleaseError
from swarmboot.release.manifest import Role
from swarmboot.release.trace import Read, check_known

Trace = Mapping[str, Sequence[Read]]
_IMAGES = (Role.ROOT, Role.PLUGIN)


@dataclass(frozen=True, slots=True)
class Ordered:
    """A release with the images that are going to be published, and what a boot reads of these, in bytes of them."""

    release: Release
    trace: dict[str, tuple[Read, ...]] | None


def check_sorting(trace: Trace | None, *, is_sorted: bool) -> None:
    """Raise MalformedSettingError without anything to sort by, ResourceError's kin where nothing can be sorted."""
    if is_sorted and trace is None:
        raise MalformedSettingError("there is nothing to sort by", expected="--trace FILE beside --sort", found="none")
    if is_sorted:
        check_can_repack()


def check_trace(release: Release, trace: Trace | None, *, is_sorted: bool) -> None:
    """Raise what `in_order` would for a trace that is not this release's, or an image that cannot be looked into."""
    if trace is None:
        return
    check_known(trace, (file.name for file in release.files if file.role in _IMAGES), where="the trace")
    for file in release.files:
        read = tuple(trace.get(file.name, ()))
        if file.name in trace and (is_sorted or any(each.path for each in read)):
            parts, lost = named_parts(_look(file), read)
            _notes_of_lost(file, parts, lost)


@contextmanager
def in_order(release: Release, trace: Trace | None, writer: SiteWriter, *, is_sorted: bool) -> Iterator[Ordered]:
    """Give a release as its trace has it, for as long as the block lasts: with `is_sorted` packed again in that order.

    Raises ReleaseError for a trace that is of something else, ResourceError and its kin where an image cannot be looked
    into or packed again.
    """
    if trace is None:
        yield Ordered(release, None)
        return
    check_known(trace, (file.name for file in release.files if file.role in _IMAGES), where="the trace")
    files, reads, notes = list(release.files), {}, list(release.notes)
    with ExitStack() as stack:
        for at, file in enumerate(release.files):
            if file.name not in trace:
                continue
            read = tuple(trace[file.name])
            if is_sorted or any(each.path for each in read):
                image = _look(file)
                parts, lost = named_parts(image, read)
                notes += _notes_of_lost(file, parts, lost)
                if is_sorted:
                    files[at], said = _sorted(file, image, parts, stack.enter_context(writer.workshop()), writer)
                    notes += said
                    image = read_squashfs(files[at].path, label=file.label)
                read = tuple(_bytes_of(image, parts))
            reads[file.name] = read
        yield Ordered(replace(release, files=tuple(files), notes=tuple(notes)), reads)


def _look(file: ReleaseFile) -> Squashfs:
    if file.format != "squashfs":
        raise ReleaseError(
            f"{file.label} is unpacked whole, and no part of it comes first", expected="a squashfs", found=file.format,
            hint="pack it as a squashfs, or take its lines out of the trace",
        )  # fmt: skip
    return read_squashfs(file.path, label=file.label)


def named_parts(image: Squashfs, reads: Sequence[Read]) -> tuple[list[Part], list[str]]:
    """Return what of which files is read, links followed, in order, and the paths that are no files of the image."""
    found: dict[Part, None] = {}
    lost: list[str] = []
    blocks = BlocksRead(image)
    for read in reads:
        if not read.path:
            found.update(dict.fromkeys(blocks.read(read.first_byte, read.size_bytes)))
            continue
        path = resolve(image, read.path.encode())
        if path is not None and image.nodes[path].kind == "file":
            found[Part(path, read.first_byte, read.size_bytes)] = None
        else:
            lost.append(read.path)
    return list(found), lost


def _notes_of_lost(file: ReleaseFile, parts: Sequence[Part], lost: Sequence[str]) -> list[str]:
    """Return a note of the files that a trace names and an image has not; raise ReleaseError if it has none of them."""
    if not parts:
        raise ReleaseError(
            f"the trace names no file of {file.label}", expected="some of its files", found=lost[0] if lost else "none",
            hint="record it again, with this image",
        )  # fmt: skip
    names = list(dict.fromkeys(lost))
    return [f"{len(names)} files of the trace are not in {file.label}, the first {names[0]}"] if names else []


def _sorted(
    file: ReleaseFile, image: Squashfs, parts: Sequence[Part], folder: Path, writer: SiteWriter
) -> tuple[ReleaseFile, list[str]]:
    """Return an image packed again in a folder, what is read first at its beginning, and what is to be said of it."""
    writer.check_space(room_bytes(image))
    order = list(dict.fromkeys(part.path for part in parts))
    path, unnamed = repack(file.path, image, order, folder=folder)
    size_bytes = path.stat().st_size
    change = (size_bytes / file.size_bytes - 1) * 100
    notes = [f"{file.label} is sorted: {len(order) - len(unnamed)} files first, {change:+.1f} % in size"]
    if unnamed:
        said = f"{len(unnamed)} files that a boot reads have names that mksquashfs cannot be told; they are not sorted"
        notes.append(f"{said}, the first {unnamed[0].decode(errors='replace')}")
    return replace(file, path=path, size_bytes=size_bytes), notes


def _bytes_of(image: Squashfs, parts: Sequence[Part]) -> Iterator[Read]:
    """Yield the bytes that a boot reads of an image: its head, its tables, and the parts of files."""
    yield Read(0, SIZE_BYTES)
    yield Read(*image.tables)
    for part in parts:
        for first_byte, size_bytes in bytes_under(image, part):
            yield Read(first_byte, size_bytes)
