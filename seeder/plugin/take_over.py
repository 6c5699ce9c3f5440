"""A plugin made elsewhere, packed again as nodes take it: Coinboot's, a container's, an overlay's upper folder.

Names are counted from the root; whiteouts by name and opaque folders become what takes names away here; what an
overlay says by other attributes is refused. Coinboot's list of packages (/tmp/dpkg_status) is merged into the root's,
where that is known. What a build should have left behind is left out.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import IO, cast

from seeder.coinboot.dpkg_status import merge
from seeder.coinboot.plugin import STATUS
from seeder.plugin.left_out import why_left_out
from seeder.plugin.make import Made, attribute_notes, check_for_tar
from seeder.plugin.overlay import Below, needed, plain, with_folders
from seeder.plugin.packing import check_target, pack
from seeder.plugin.places import landing
from seeder.plugin.root_image import RootImage, text_of
from seeder.plugin.upper import as_link, linked, upper_entries
from seeder.publish.images.unpacked_size import unpacking
from swarmboot.archive import Entry, tar_entries
from swarmboot.errors import MalformedSettingError, PrivilegeError, ReleaseError, UnreadableError
from swarmboot.host.programs import run_program

_ARCHIVES = (".tar.gz", ".tar.zst", ".tgz")
_ROOT_STATUS = "var/lib/dpkg/status"
_STATUS_MOST_BYTES = 1 << 26
_BOUND_S = 3600.0

Entries = Callable[[], Iterator[Entry]]


def take_over(source: Path, output: Path | None, root: RootImage | None) -> Made:
    """Pack a plugin again into `output`; without it as a squashfs of the release's, or as .tar.gz in this folder.

    Raises ReleaseError for what cannot be taken over whole, UnreadableError for what is no plugin.
    """
    target = output or _usual(source, root)
    is_layer = check_target(target) == "squashfs"
    if target.exists() and target.samefile(source):
        raise MalformedSettingError(
            f"{source} would be written over itself", expected="--output FILE, or --against RELEASE", found="neither",
            hint="a plugin that was made elsewhere is kept as it was",
        )  # fmt: skip
    if is_layer and root is None:
        raise MalformedSettingError(
            "a squashfs needs the modes of the folders around its files",
            expected="--against RELEASE", found="a plugin by itself", hint="name a release, or a .tar.gz as --output",
        )  # fmt: skip
    with _opened(source) as entries:
        return _packed(_Source(entries, str(source)), target, root, is_layer=is_layer)


def _usual(source: Path, root: RootImage | None) -> Path:
    name = next((source.name.removesuffix(end) for end in (*_ARCHIVES, ".squashfs") if source.name.endswith(end)), "")
    folder = root.release.folder / "plugins" if root and root.release else Path()
    return folder / f"{name or source.resolve().name}{'.squashfs' if root else '.tar.gz'}"


@contextmanager
def _opened(source: Path) -> Iterator[Entries]:
    """Give what reads the entries of a folder, a tar or a squashfs, as often as it is called."""
    if source.is_dir():
        yield lambda: _of_folder(source)
    elif source.name.endswith(_ARCHIVES):
        yield lambda: _of_tar(source)
    elif source.name.endswith(".squashfs"):
        if os.geteuid() != 0:
            raise PrivilegeError("taking over a squashfs needs root", hint="its devices are unpacked; use sudo")
        with tempfile.TemporaryDirectory(prefix="swarmboot-plugin.") as work:
            folder = Path(work) / "unpacked"
            command = ("unsquashfs", "-quiet", "-no-progress", "-dest", str(folder), str(source))
            run_program(command, bound_s=_BOUND_S, failure=ReleaseError, hint="is it whole?")
            yield lambda: _of_folder(folder)
    else:
        raise UnreadableError(
            f"{source} is no plugin",
            expected=f"an overlay's upper folder, or a file that ends in {', '.join(_ARCHIVES)} or .squashfs",
        )


def _of_folder(folder: Path) -> Iterator[Entry]:
    found = list(upper_entries(folder))
    links = linked(folder, [entry.name for entry in found if entry.kind == "file"])
    yield from (as_link(each, links[each.name]) if each.name in links else each for each in found)


def _of_tar(source: Path) -> Iterator[Entry]:
    kind = "tar.zst" if source.name.endswith(".zst") else "tar.gz"
    with unpacking(source, kind, label=str(source)) as archive:
        for entry in tar_entries(cast(IO[bytes], archive), name=str(source)):
            if entry.name:
                yield entry
        archive.drain()


@dataclass(frozen=True, slots=True)
class _Source:
    """What is taken over: its entries, to be read twice, and its name."""

    entries: Entries
    label: str


def _packed(source: _Source, target: Path, root: RootImage | None, *, is_layer: bool) -> Made:
    below = Below(root.layer.inodes) if root else None
    place = _placing(root) if is_layer else str
    last: dict[str, int] = {}
    found, left_out, status = [], Counter[str](), ""
    for number, entry in enumerate(source.entries()):
        if entry.name == STATUS and entry.read is not None:
            status = entry.read(_STATUS_MOST_BYTES).decode(errors="replace")
        elif why := why_left_out(entry.name, "whiteout" if entry.is_whiteout else entry.kind):
            left_out[why] += entry.kind != "folder"
        else:
            moved = _moved(entry, place)
            last[moved.name] = number
            found.append(replace(moved, read=None))
    entries = needed(plain(found, below, label=source.label), below)
    notes = attribute_notes(entries)
    if status:
        entries, note = _with_status(entries, status, root)
        notes.append(note)
    _check_links(entries, source.label)
    if below is not None:
        entries = with_folders(entries, below) if is_layer else entries
        if not is_layer:
            check_for_tar(entries, below, target)
    if not entries:
        raise ReleaseError(f"{source.label} holds nothing that a node would get")
    time_s = int(max(entry.modified_s for entry in entries.values()))
    pack(_in_order(source, entries, last, place), target, time_s=max(time_s, 0))
    return Made(target, entries, +left_out, tuple(notes))


def _placing(root: RootImage | None) -> Callable[[str], str]:
    """Return where a name of a tar ends up in the root, the links on its way followed, as nodes lay a tar down."""
    inodes = root.layer.inodes if root else {}

    def place(path: str) -> str:
        folder, name = posixpath.split(path)
        return posixpath.join(landing(inodes, folder) if folder else "", name)

    return place


def _moved(entry: Entry, place: Callable[[str], str]) -> Entry:
    target = place(entry.target) if entry.kind == "hard link" else entry.target
    return replace(entry, name=place(entry.name), target=target)


def _with_status(entries: dict[str, Entry], status: str, root: RootImage | None) -> tuple[dict[str, Entry], str]:
    """Return entries with the root's list of packages and a plugin's as one, and what is to say of it."""
    text = text_of(root, _ROOT_STATUS) if root else ""
    if not root or not text:
        return entries, f"/{STATUS} is left out: dpkg will not know its packages; --against RELEASE merges it"
    data = merge(text, {f"/{STATUS}": status}).encode(errors="surrogateescape")
    time_s = max((entry.modified_s for entry in entries.values()), default=0.0)
    merged = Entry(_ROOT_STATUS, "file", 0o644, modified_s=time_s, size_bytes=len(data), read=BytesIO(data).read)
    return {**entries, _ROOT_STATUS: merged}, f"/{STATUS} is merged into the root's /{_ROOT_STATUS}"


def _check_links(entries: dict[str, Entry], label: str) -> None:
    """Raise ReleaseError for a hard link whose file is not packed."""
    for entry in entries.values():
        target = entries.get(entry.target) if entry.kind == "hard link" else entry
        if target is None or (entry.kind == "hard link" and target.kind != "file"):
            raise ReleaseError(
                f"{label} brings /{entry.name} as another name of /{entry.target}, which it does not bring",
                hint="pack it again with both, or with a copy",
            )


def _in_order(
    source: _Source, entries: dict[str, Entry], last: dict[str, int], place: Callable[[str], str]
) -> Iterable[Entry]:
    """Yield folders and what has no contents, then files as they come, then links to them."""
    late = [path for path, entry in entries.items() if entry.kind == "hard link"]
    files = {path for path, entry in entries.items() if entry.kind == "file" and entry.read is None and path in last}
    yield from (entries[path] for path in sorted(entries.keys() - files - set(late)))
    for number, entry in enumerate(source.entries()):
        path = place(entry.name)
        if path in files and last[path] == number:
            yield replace(entries[path], read=entry.read)
    yield from (entries[path] for path in sorted(late))
