"""What is known of a node before it boots, and the image of its own files that is loaded beside the initramfs.

A rack map has a line a group of machines, `PATTERN RACK [PROFILE]`: the pattern is a MAC address with `*` or a network
in CIDR form, the first that fits counts. Files for a node are those under `default/` and under `52-54-00-12-34-56/` of
one folder, as they are to stand in the initramfs; they become one cpio archive in the "newc" form (cpio(5), and the
kernel's Documentation/driver-api/early-userspace/buffer-format.rst), padded so that what follows it is aligned.

It will not take symbolic links or special files, nor secrets: the archive is served over plain HTTP. Where there is a
fleet token, nodes are given these files over HTTPS instead (`seeder.serve.private`).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from seeder.boot_script.grammar import parse_mac
from seeder.stage0.machine_pattern import MachinePattern, parse_machine_pattern
from swarmboot.errors import MalformedSettingError, SpaceError

NODE_IMAGE_MAX_BYTES = 4 << 20
_NOTES_MAX = 10
_PADDING = 512
_ENTRY_BYTES = 110
_LABEL = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: its rack, and the profile that it is to boot if the map says so."""

    rack: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    pattern: MachinePattern
    place: Place


@dataclass(frozen=True, slots=True)
class RackMap:
    """Which machines stand in which rack. Lines of single machines, of which there may be thousands, cost no search."""

    lines: tuple[_Line, ...] = ()
    _single: dict[str, int] = field(init=False, repr=False, compare=False)
    _groups: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sort the lines' numbers."""
        ones = [line.pattern.one for line in self.lines]
        object.__setattr__(self, "_single", {one: number for number, one in reversed([*enumerate(ones)]) if one})
        object.__setattr__(self, "_groups", tuple(number for number, one in enumerate(ones) if not one))

    def place(self, mac: str, host: str) -> Place:
        """Return where the machine with this MAC address (lower case, colons) and address is; nowhere if unknown."""
        own = self._single.get(mac, len(self.lines))
        before = takewhile(lambda number: number < own, self._groups)
        first = next((number for number in before if self.lines[number].pattern.fits(mac, host)), own)
        return self.lines[first].place if first < len(self.lines) else Place()

    @property
    def single_machines(self) -> tuple[str, ...]:
        """Return the MAC addresses of machines that have a line of their own."""
        return tuple(reversed(self._single))


def parse_rack_map(text: str, *, where: str) -> RackMap:
    """Return the map in a file's text; raise MalformedSettingError naming `where` and the line."""
    lines = []
    for number, raw in enumerate(text.splitlines(), start=1):
        words = raw.partition("#")[0].split()
        if not words:
            continue
        pattern = parse_machine_pattern(words[0])
        if pattern is None or len(words) not in (2, 3) or not all(_LABEL.match(word) for word in words[1:]):
            raise MalformedSettingError(
                f"{where}:{number} is no line of a rack map",
                expected="MAC-or-network RACK [PROFILE], as in 52:54:00:12:* r12",
                found=repr(raw[:80]),
            )
        lines.append(_Line(pattern, Place(*words[1:])))
    return RackMap(tuple(lines))


def check_node_files(folder: Path) -> None:
    """Raise MalformedSettingError if a folder of nodes' files is none, or may not be looked into."""
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise MalformedSettingError(
            f"--node-files {folder} cannot be used",
            expected="a folder with default/ or 52-54-00-12-34-56/ in it",
            found=error.strerror or str(error),
            hint="make it, or leave --node-files out",
        ) from error


def node_files_notes(folder: Path) -> list[str]:
    """Return a line for each thing in a folder of nodes' files that no node will be given, _NOTES_MAX at most."""
    notes = [note for path in sorted(folder.iterdir()) for note in _notes(path)]
    left_out = len(notes) - _NOTES_MAX
    return notes if left_out <= 0 else [*notes[:_NOTES_MAX], f"and {left_out} more in {folder} are passed over"]


def _notes(top: Path) -> Iterator[str]:
    mac = parse_mac(top.name)
    wanted = mac.replace(":", "-") if mac else "default"
    if top.name != wanted:
        hint = f"call it {wanted}" if mac else "expected default, or a MAC address as in 52-54-00-12-34-56"
        yield f"{top} is passed over: {hint}"
    elif top.is_symlink() or not top.is_dir():
        yield f"{top} is passed over: it is {'a link' if top.is_symlink() else 'no folder'}"
    else:
        for parent, names, files in os.walk(top):
            for path in (Path(parent, name) for name in sorted([*names, *files])):
                if path.is_symlink():
                    yield f"{path} is passed over: it is a link; put a file in its place"
                elif not path.is_dir() and not path.is_file():
                    yield f"{path} is passed over: it is no regular file"


def read_node_files(folder: Path, *macs: str) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of the files for one node by their path in the initramfs, its own over the default ones.

    `macs` are its MAC addresses (lower case, colons), those of a later one winning. Links to folders are not followed,
    and what goes away or cannot be read while it is looked at is left out. Raises SpaceError if the files are larger
    than NODE_IMAGE_MAX_BYTES together.
    """
    found: dict[str, tuple[int, bytes]] = {}
    left = NODE_IMAGE_MAX_BYTES
    for name in ("default", *(mac.replace(":", "-") for mac in macs)):
        top = folder / name
        for path in _files_under(top):
            file = _read_file(path, left)
            if file is None:
                continue
            left -= len(file[1]) + len(path.name) + _ENTRY_BYTES
            if left < 0:
                raise SpaceError(
                    f"the files in {folder} are too large", expected=f"{NODE_IMAGE_MAX_BYTES} bytes a node"
                )
            found[path.relative_to(top).as_posix()] = file
    return found


def _files_under(top: Path) -> list[Path]:
    """Return the paths of the files below a folder, sorted; none if it is a link or not there."""
    if top.is_symlink():
        return []
    return sorted(Path(parent, name) for parent, _, names in os.walk(top) for name in names)


def _read_file(path: Path, most_bytes: int) -> tuple[int, bytes] | None:
    """Return a regular file's mode and content, of one that is too long some of it; None for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        return status.st_mode & 0o777, file.read(most_bytes + 1)


def node_image(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Return the cpio archive of these files, the folders above them included, all of them root's."""
    folders = sorted({parent.as_posix() for path in files for parent in Path(path).parents} - {"."})
    entries = [(folder, 0o040755, b"") for folder in folders]
    entries += [(path, 0o100000 | mode, data) for path, (mode, data) in sorted(files.items())]
    archive = _archive([*entries, ("TRAILER!!!", 0, b"")])
    return archive + bytes(-len(archive) % _PADDING)


def _archive(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    parts = []
    for number, (name, mode, data) in enumerate(entries, start=1):
        name_bytes = os.fsencode(name) + b"\0"
        numbers = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name_bytes), 0)
        header = b"070701" + b"".join(b"%08x" % value for value in numbers) + name_bytes
        parts += [header, bytes(-len(header) % 4), data, bytes(-len(data) % 4)]
    return b"".join(parts)
