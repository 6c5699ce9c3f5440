"""A live image in a tar archive, compressed or not, or in an ISO: read forward, without root.

bsdtar(1) of libarchive reads the ISO and hands it on as a tar archive, files of the same bytes as hard links. Raises
ReleaseError for an archive that is cut short.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from seeder.initramfs.compressed import compression_of, decompressed
from seeder.live.medium import is_text, open_file
from seeder.takeover.root_image import data_of
from swarmboot.archive import Entry, Stream, tar_entries
from swarmboot.errors import ReleaseError, ToolMissingError
from swarmboot.host.programs import last_words

_CHUNK_BYTES = 1 << 20
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257
_ISO_MAGIC, _ISO_MAGIC_AT = b"CD001", 0x8001
_HEAD_BYTES = _ISO_MAGIC_AT + len(_ISO_MAGIC)
_LINKS_MAX = 40


def archive_kind(path: Path) -> str:
    """Return what a file is by its first bytes: `iso`, `tar`, how it is compressed, or nothing of these."""
    with open_file(path, label=str(path)) as file:
        head = file.read(_HEAD_BYTES)
    if head[_ISO_MAGIC_AT:] == _ISO_MAGIC:
        return "iso"
    return "tar" if head[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC) else compression_of(head)


class ArchiveMedium:
    """The files of a live image in one archive."""

    def __init__(self, path: Path, kind: str) -> None:
        self.label = str(path)
        self.names: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        self._path = path
        self._kind = kind
        self._links: dict[str, str] = {}
        self._list()

    def _list(self) -> None:
        for entry in self._entries():
            if entry.kind == "file":
                self.names[entry.name] = entry.size_bytes
                if entry.read is not None and is_text(entry.name, entry.size_bytes):
                    self.texts[entry.name] = b"".join(data_of(entry)).decode(errors="replace")
            elif entry.kind == "hard link":
                self._links[entry.name] = entry.target
            elif entry.kind == "link":
                self._links[entry.name] = posixpath.normpath(
                    posixpath.join(posixpath.dirname(entry.name), entry.target)
                )
        for name in self._links:
            if (real := self._resolved(name)) in self.names:
                self.names[name] = self.names[real]
                if real in self.texts:
                    self.texts[name] = self.texts[real]

    def _resolved(self, name: str) -> str:
        """Return where links of the archive lead, which may be nowhere."""
        for _ in range(_LINKS_MAX):
            if name not in self._links:
                return name
            name = self._links[name]
        return name

    def digest(self, names: Iterable[str]) -> str:
        """Return a digest of the archive."""
        del names
        with open_file(self._path, label=self.label) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write(self, wanted: Mapping[str, Path]) -> None:
        """Write files to these paths."""
        left: dict[str, list[Path]] = {}
        for name, path in wanted.items():
            left.setdefault(self._resolved(name), []).append(path)
        for entry in self._entries():
            for number, path in enumerate(paths := left.pop(entry.name, []) if entry.kind == "file" else []):
                path.parent.mkdir(parents=True, exist_ok=True)
                if number:
                    shutil.copyfile(paths[0], path)
                    continue
                with path.open("wb") as file:
                    file.writelines(data_of(entry))
        if left:
            raise ReleaseError(
                f"{self.label} has changed while it was read", found=f"no {min(left)}", hint="run it again"
            )

    def _entries(self) -> Iterator[Entry]:
        with self._opened() as archive:
            tail = _Tail(archive)
            yield from tar_entries(cast(IO[bytes], tail), name=self.label)
            while tail.read(_CHUNK_BYTES):
                pass
            if tail.last.strip(b"\0") or not tail.last:
                raise ReleaseError(
                    f"{self.label} is cut short", expected="the end of an archive, two blocks of zeros",
                    found="none", hint="copy it whole, or build it again",
                )  # fmt: skip

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """Give the archive as a plain tar."""
        if self._kind == "iso":
            with _iso_as_tar(self._path, label=self.label) as archive:
                yield archive
            return
        with open_file(self._path, label=self.label) as file:
            if self._kind == "tar":
                yield file
                return
            with decompressed(Stream(file, self.label), self._kind, label=self.label) as archive:
                yield archive


class _Tail:
    """A stream that keeps the last bytes that were read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.last = b""

    def read(self, size_bytes: int) -> bytes:
        data = self._file.read(size_bytes)
        self.last = (self.last + data)[-1024:]
        return data


@contextmanager
def _iso_as_tar(path: Path, *, label: str) -> Iterator[IO[bytes]]:
    if not shutil.which("bsdtar"):
        raise ToolMissingError(
            "bsdtar is not installed, which reads an ISO", hint="install the package libarchive-tools, or mount the ISO"
        )
    command = ("bsdtar", "-cf", "-", "--format=pax", f"@{path.absolute()}")
    with tempfile.TemporaryFile() as words:
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words, env=environment
        ) as process:
            assert process.stdout is not None
            fault: ReleaseError | None = None
            try:
                try:
                    yield process.stdout
                except ReleaseError as error:  # that of an archive which ends too soon, where bsdtar says why
                    fault = error
                while process.stdout.read(_CHUNK_BYTES):
                    pass
                process.wait()
            finally:
                process.kill()
        if process.returncode > 0:
            words.seek(0)
            said = last_words(words.read().decode(errors="replace"))
            hint = "copy it whole, or build it again"
            raise ReleaseError(f"{label} cannot be read as an ISO", found=said, hint=hint) from fault
    if fault is not None:
        raise fault
