"""A release directory that is made of somebody else's files, whole or not at all, and the same one every time.

It is made beside its place and renamed. A stamp in it says what it was made of: made of the same, it stays. What
somebody has put into it is never lost.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from swarmboot.errors import UnreadableError
from swarmboot.host.files import named_as

_STAMP = "made-of.json"
_INITRAMFS = "initramfs.img"

Make = Callable[[Path], Mapping[str, object]]
"""Makes the release in a new folder; returns what is to be remembered of it, as JSON has it, `kernel` among it."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of a system. `parts` is the hidden folder of the release that its initramfs is built from.

    `lost` is a line for each thing that was not taken over.
    """

    release: Path
    is_new: bool
    kernel: str
    plugins: tuple[str, ...]
    lost: tuple[str, ...]
    parts: str

    @property
    def modules(self) -> Path:
        """Return the folder with the kernel's modules, as `hook build-initramfs --modules` takes it."""
        return self.release / self.parts

    @property
    def initramfs(self) -> Path:
        """Return where the release's initramfs is, or is to be."""
        return self.release / _INITRAMFS


@dataclass(frozen=True, slots=True)
class Directory:
    """A release directory to be made. `hint` says what to do with one's own files that stand in the way."""

    out: Path
    parts: str
    hint: str

    def made_of(self, stamp: str, make: Make) -> tuple[bool, Mapping[str, object]]:
        """Return whether it was made anew, and what `make` has said of it, now or the last time.

        Raises UnreadableError if it was not made here, or would be made anew and holds what somebody has put there.
        """
        made = self._read_stamp()
        if made.get("of") == stamp:
            return False, made
        self._check_unchanged(made.get("files"))
        self.out.parent.mkdir(parents=True, exist_ok=True)
        beside = self.out.parent
        with named_as(self.out), tempfile.TemporaryDirectory(prefix=f".{self.out.name}.", dir=beside) as work:
            new = Path(work, "release")
            (new / self.parts).mkdir(parents=True)
            made = {"of": stamp, **make(new), "files": self._files(new)}
            (new / self.parts / _STAMP).write_text(json.dumps(made))
            self._put(new, Path(work, "old"))
        return True, made

    def _put(self, new: Path, old: Path) -> None:
        """Put the new release in the old one's place; that is there again if this is interrupted."""
        try:
            if self.out.exists():
                self.out.rename(old)
            new.rename(self.out)
        finally:
            if old.exists() and not self.out.exists():
                old.rename(self.out)

    def _read_stamp(self) -> dict[str, object]:
        """Return the stamp of a directory that was made here, nothing if there is none; raise UnreadableError."""
        try:
            values = json.loads((self.out / self.parts / _STAMP).read_bytes())
        except (OSError, ValueError):
            values = {}
        if not values and self.out.is_dir() and any(self.out.iterdir()):
            raise UnreadableError(
                f"{self.out} is there already", expected="an empty folder, or one that this command made",
                found="a folder of something else", hint="choose another with --out",
            )  # fmt: skip
        return values if isinstance(values, dict) else {}

    def _files(self, release: Path) -> dict[str, list[int]]:
        """Return size and time of each file that was made here, the initramfs apart, which may be built by hand."""
        found = {str(path.relative_to(release)): path.lstat() for path in release.rglob("*") if not path.is_dir()}
        own = {name: status for name, status in found.items() if not name.startswith((f"{self.parts}/", _INITRAMFS))}
        return {name: [status.st_size, status.st_mtime_ns] for name, status in own.items()}

    def _check_unchanged(self, made: object) -> None:
        """Raise UnreadableError if a directory that is going to be made anew holds what was not made here."""
        known = made if isinstance(made, dict) else {}
        if others := sorted(name for name, facts in self._files(self.out).items() if known.get(name) != facts):
            raise UnreadableError(
                f"{self.out} would be made anew, and {others[0]} in it is somebody's own",
                expected="only what this command has made",
                found=f"{len(others)} files that it has not",
                hint=self.hint,
            )


def beside(path: Path, name: str) -> Path:
    """Return a name beside a file or folder, said as the path was where that is the same place."""
    real = path.resolve()
    is_same = path.name not in ("", "..") and path.parent.resolve() == real.parent
    return path.with_name(name) if is_same else real.with_name(name)


def remembered(made: Mapping[str, object], name: str) -> list[str]:
    """Return a list of texts that a directory's stamp has."""
    value = made.get(name)
    return [str(each) for each in value] if isinstance(value, list) else []
