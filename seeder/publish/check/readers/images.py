"""Reads what root images and plugins hold, without root and without extracting them: names, links, programs' heads.

unsquashfs(1) lists a squashfs; tar and cpio are read forward once, which counts what they take unpacked as well. Of
plain files only those are kept that `is_kept` asks for, so that an image of a million files stays small in memory; what
is kept has a bound (`seeder.publish.check.readers.bounds`).
Raises ReleaseError for an image that is not what its name says, ResourceError for one that could not be looked at.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from seeder.program import HEAD_BYTES, Program, parse_program
from seeder.publish.check.overlay_words import overlay_word
from seeder.publish.check.readers.bounds import Bounds
from seeder.publish.check.readers.tree import Inode, Layer
from seeder.publish.images.unpacked_size import unpacking
from seeder.publish.release_dir import ReleaseFile
from swarmboot.archive import Entry, cpio_entries, tar_entries
from swarmboot.errors import ReleaseError, ResourceError, ToolMissingError

IsKept = Callable[[str, Inode], bool]
BOUND_S = 300.0
"""How long unsquashfs may list one image: only its tables are read."""

_TEXT_MAX_BYTES = 1 << 20
_READ = frozenset({"etc/fstab"})
"""The files whose contents anything is made of."""
_MAGIC = {"squashfs": b"hsqs", "gz": b"\x1f\x8b", "zst": b"\x28\xb5\x2f\xfd"}
_LISTED = re.compile(
    rb"([bcdlps-])([rwxsStT-]{9}) (\d+)/(\d+) +(\d+)(?:, *(\d+))? \d{4}-\d\d-\d\d \d\d:\d\d squashfs-root(?:/(.*))?\Z",
    re.DOTALL,
)
_KINDS = {b"-": "file", b"d": "folder", b"l": "link", b"c": "character", b"b": "block", b"p": "pipe", b"s": "socket"}
_WATCHED = re.compile(
    r"etc/(?:fstab|machine-id|ld\.so\.cache|ld\.so\.conf\.d/[^/]*|ssh/ssh_host_[^/]*_key)\Z"
    r"|var/lib/dbus/machine-id\Z"
    r"|(?:[^/]*/)*(?:init|systemd|bin/[^/]*|sbin/[^/]*)\Z"
    r"|(?:LiveOS|live|casper)/|(?:[^/]*/){0,2}[^/]*\.squashfs\Z"
)


def is_watched(path: str, inode: Inode) -> bool:
    """Return whether a name in an image is looked at at all: plain files that nobody asks for are passed over."""
    return inode.kind != "file" or bool(inode.mode & 0o6111) or inode.has_capability or bool(_WATCHED.match(path))


@dataclass(frozen=True, slots=True)
class Image:
    """What an image holds, and what it takes unpacked, 0 for one that is mounted."""

    layer: Layer
    unpacked_bytes: int = 0


def read_image(file: ReleaseFile, *, is_kept: IsKept = is_watched) -> Image:
    """Return what an image holds; raise as the module says."""
    _check_magic(file)
    if file.format == "squashfs":
        return Image(_read_squashfs(file, is_kept))
    reader = _ArchiveReader(file, is_kept)
    return Image(reader.layer(), reader.unpacked_bytes)


def _check_magic(file: ReleaseFile) -> None:
    kind = file.format.rpartition(".")[2]
    magic = _MAGIC[kind]
    with file.path.open("rb") as opened:
        found = opened.read(len(magic))
    if found != magic:
        raise ReleaseError(
            f"{file.label} does not begin as a {kind} does",
            expected=magic.hex(),
            found=found.hex(),
            hint="pack it again, or name it for what it is",
        )


def _read_squashfs(file: ReleaseFile, is_kept: IsKept) -> Layer:
    inodes = list_squashfs(file.path, label=file.label, is_kept=is_kept)
    return Layer(
        file.label, inodes, lambda path: parse_program(file_of(file, path, HEAD_BYTES)), lambda path: _text(file, path)
    )


def list_squashfs(image: Path, *, label: str, is_kept: IsKept = is_watched) -> dict[str, Inode]:
    """Return the names in a squashfs; raise as the module says."""
    inodes: dict[str, Inode] = {}
    bounds = Bounds(label)
    is_understood = False
    with _unsquashfs(image, "-lln", label=label) as output:
        for line in output:
            match = _LISTED.match(line.rstrip(b"\n"))
            is_understood = is_understood or match is not None
            bounds.look()
            if match and match[7]:
                path, inode = _listed(match)
                if is_kept(path, inode):
                    bounds.keep(path, inode.target)
                    inodes[path] = inode
    if not is_understood:  # the root folder is always there
        raise ResourceError("this unsquashfs lists images in a way that is not known here")
    return inodes


def _listed(match: re.Match[bytes]) -> tuple[str, Inode]:
    path, kind = match[7].decode(errors="surrogateescape"), _KINDS[match[1]]
    uid, gid, size_or_major, minor = int(match[3]), int(match[4]), int(match[5]), match[6]
    target = ""
    if kind == "link":
        path, _, target = path.partition(" -> ")
    if kind == "character" and not size_or_major and not int(minor or 0):
        kind = "whiteout"
    return path, Inode(kind, _mode(match[2]), target, 0 if minor else size_or_major, uid=uid, gid=gid)


def _mode(shown: bytes) -> int:
    """Return the mode that `rwsr-xr-t` and the like show."""
    mode = 0
    for at, letter in enumerate(shown.decode()):
        if letter not in "-ST":
            mode |= 1 << (8 - at)
        if letter in "sStT":
            mode |= 1 << (11 - at // 3)
    return mode


def _text(file: ReleaseFile, path: str) -> str:
    return file_of(file, path, _TEXT_MAX_BYTES).decode(errors="replace")


def file_of(file: ReleaseFile, path: str, most_bytes: int) -> bytes:
    """Return the beginning of one file in a squashfs; raise as the module says."""
    with _unsquashfs(file.path, "-cat", "-no-wildcards", label=file.label, path=path) as output:
        return output.read(most_bytes)


@contextmanager
def _unsquashfs(image: Path, *options: str, label: str, path: str = "") -> Iterator[IO[bytes]]:
    """Run unsquashfs on an image and give what it prints, of which the rest is passed over."""
    if not shutil.which("unsquashfs"):
        raise ToolMissingError("unsquashfs is not installed", hint="install the package squashfs-tools")
    command = ("unsquashfs", *options, str(image), *([path] if path else []))
    with tempfile.TemporaryFile() as words:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words) as process:
            assert process.stdout is not None
            watchdog = threading.Timer(BOUND_S, process.kill)
            watchdog.start()
            try:
                yield process.stdout
                is_whole = not process.stdout.read(1)
                if is_whole:
                    process.wait()
            finally:
                is_late = watchdog.finished.is_set()
                watchdog.cancel()
                process.kill()
        if is_late:
            raise ResourceError(f"{label} took unsquashfs longer than {BOUND_S:g} s")
        if is_whole and process.returncode > 0:
            words.seek(0)
            said = words.read(400 + len(str(image))).decode(errors="replace").replace(str(image), label)
            raise ReleaseError(
                f"{label} cannot be read as a squashfs",
                found=" ".join(said.split()) or f"unsquashfs ended with {process.returncode}",
                hint="build it again, and copy it whole",
            )


@dataclass(slots=True)
class _ArchiveReader:
    """Reads a tar or cpio image once."""

    file: ReleaseFile
    is_kept: IsKept
    unpacked_bytes: int = 0
    inodes: dict[str, Inode] = field(default_factory=dict)
    programs: dict[str, Program | None] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)
    bounds: Bounds = field(init=False)

    def __post_init__(self) -> None:
        """Begin to count."""
        self.bounds = Bounds(self.file.label)

    def layer(self) -> Layer:
        """Return what the image holds."""
        entries = cpio_entries if self.file.format.startswith("cpio") else tar_entries
        with unpacking(self.file.path, self.file.format, label=self.file.label) as archive:
            for entry in entries(archive, name=self.file.label):  # type: ignore[arg-type]
                self._take(entry)
            archive.drain()
        self.unpacked_bytes = archive.count_bytes
        return Layer(
            self.file.label, self.inodes, self.programs.get, lambda path: self.texts.get(path, ""),
            frozenset(self.attributes),
        )  # fmt: skip

    def _take(self, entry: Entry) -> None:
        self.bounds.look()
        if not entry.name:
            return
        inode = self._inode(entry)
        self._note(entry)
        if not self.is_kept(entry.name, inode):
            return
        self.bounds.keep(entry.name, entry.target)
        self._add_parents(entry.name)
        self.inodes[entry.name] = inode
        if entry.kind == "hard link":
            self.programs[entry.name] = self.programs.get(entry.target)
        if entry.read is not None and inode.is_program:
            program = parse_program(_head(entry.read))
            self.bounds.keep(program.interpreter if program else "")
            self.programs[entry.name] = program
            if entry.kind == "hard link":
                self.programs[entry.target] = program
        elif entry.read is not None and entry.name in _READ:
            self.texts[entry.name] = entry.read(_TEXT_MAX_BYTES).decode(errors="replace")

    def _note(self, entry: Entry) -> None:
        for name, _ in entry.attributes:
            if overlay_word(name) and name not in self.attributes:
                self.bounds.keep(name)
                self.attributes.add(name)

    def _inode(self, entry: Entry) -> Inode:
        if entry.kind == "hard link":
            return self.inodes.get(entry.target, Inode("file", entry.mode))
        kind = "whiteout" if entry.kind == "character" and not entry.device else entry.kind
        return Inode(kind, entry.mode, entry.target, entry.size_bytes, entry.has_capability, entry.uid, entry.gid)

    def _add_parents(self, name: str) -> None:
        """Have the folders that a name lies in, which an archive need not list."""
        folder = posixpath.dirname(name)
        while folder and folder not in self.inodes:
            self.bounds.keep(folder)
            self.inodes[folder] = Inode("folder", 0o755)
            folder = posixpath.dirname(folder)


def _head(read: Callable[[int], bytes]) -> bytes:
    parts, left = [], HEAD_BYTES
    while left and (part := read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
