"""What a live image comes in: a folder, a tar archive or an ISO. Its files by name, and its small texts.

live-build makes all three: `binary/` and `tftpboot/`, `*.netboot.tar`, `*.iso` (live-build, scripts binary_netboot and
binary_iso). Links are followed inside; nothing that lies outside is ever read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from swarmboot.errors import EscapeError, UnreadableError

TEXT_MAX_BYTES = 1 << 16
_TEXTS = (".cfg", ".conf", ".module", "menu.lst", "pxelinux.cfg/default", "release.toml")
_DEPTH = 4
_WHERE = tuple(f"{folder}/*.{kind}" for folder in ("live", "*/live", "live/*") for kind in ("squashfs", "module"))
_NOT_OURS = frozenset({"chroot", "cache", "config", "local", "auto", "pool", "dists", "proc", "sys", "dev"})
"""What `lb build` keeps beside what it has built, and what a medium has that no boot reads."""


class Medium(Protocol):
    """The files of a live image. `names` are their sizes in bytes by path, `texts` what menus and lists say."""

    @property
    def label(self) -> str:
        """Return what it is called."""

    @property
    def names(self) -> Mapping[str, int]:
        """Return its files."""

    @property
    def texts(self) -> Mapping[str, str]:
        """Return what its small texts hold."""

    def digest(self, names: Iterable[str]) -> str:
        """Return a digest of these files, or of all of it."""

    def write(self, wanted: Mapping[str, Path]) -> None:
        """Write files to these paths."""


def looks_live(folder: Path) -> bool:
    """Return whether a folder holds a live image, by what live-build and live-boot call its files."""
    own = (folder / "filesystem.squashfs", folder / "filesystem.module")
    inner = (path for where in _WHERE for path in folder.glob(where))
    is_release = any(folder.glob("rootfs.*"))
    return not is_release and (any(path.is_file() for path in own) or any(path.is_file() for path in inner))


def is_text(name: str, size_bytes: int) -> bool:
    """Return whether a file is one of those that are read for what they say."""
    return name.endswith(_TEXTS) and size_bytes <= TEXT_MAX_BYTES


@dataclass(slots=True)
class FolderMedium:
    """A folder: what `lb build` leaves behind, an ISO that is mounted or unpacked, or its `live/` alone."""

    folder: Path
    label: str = ""
    names: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """List it; raise UnreadableError or EscapeError."""
        self.label = self.label or str(self.folder)
        try:
            self._list("", 0)
        except OSError as error:
            raise UnreadableError(f"{error.filename} cannot be read: {error.strerror}") from error

    def _list(self, under: str, depth: int) -> None:
        with os.scandir(self.folder / under) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            name = f"{under}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if depth < _DEPTH and not (depth == 0 and entry.name in _NOT_OURS):
                    self._list(f"{name}/", depth + 1)
            elif entry.is_file(follow_symlinks=False):
                self._take(name, entry.stat().st_size)
            elif entry.is_symlink() and Path(entry.path).is_file():
                self._take(name, Path(entry.path).stat().st_size)

    def _take(self, name: str, size_bytes: int) -> None:
        self.names[name] = size_bytes
        if is_text(name, size_bytes):
            self.texts[name] = self._real(name).read_text(errors="replace")

    def _real(self, name: str) -> Path:
        """Return where a file is; raise EscapeError if that is not in the folder."""
        real = Path(os.path.realpath(self.folder / name))
        if not real.is_relative_to(os.path.realpath(self.folder)):
            raise EscapeError(
                f"{name} is a link that leads out of the folder", expected=f"a file inside {self.folder}",
                found=str(real), hint="copy the file into the folder",
            )  # fmt: skip
        return real

    def digest(self, names: Iterable[str]) -> str:
        """Return a digest of these files; raise UnreadableError or EscapeError."""
        whole = hashlib.sha256()
        for name in sorted(names):
            with open_file(self._real(name), label=name) as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        return whole.hexdigest()

    def write(self, wanted: Mapping[str, Path]) -> None:
        """Write files to these paths; raise UnreadableError or EscapeError."""
        for name, path in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_file(self._real(name), label=name) as file, path.open("wb") as copy:
                shutil.copyfileobj(file, copy, 1 << 20)


def open_file(path: Path, *, label: str) -> BufferedReader:
    """Open a plain file for reading; raise UnreadableError."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableError(f"{label} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UnreadableError(f"{label} is no plain file")
    return file
