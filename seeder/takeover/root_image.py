"""A root's archive as a squashfs, equal bytes for equal roots: no extraction, so owners and devices need no root user.

The entries go to mksquashfs(1) as a tar archive on its standard input (squashfs-tools 4.5 and later). Times are the
archive's own; the root folder and the file system have the newest of them (SOURCE_DATE_EPOCH; mksquashfs 4.5.1 takes
no `-root-time` here and gives the root folder today's).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import IO

from swarmboot.archive import Entry
from swarmboot.errors import ReleaseError, ToolMissingError
from swarmboot.host.programs import last_words

_CHUNK_BYTES = 1 << 18
_PACK = ("-tar", "-comp", "zstd", "-noappend", "-quiet", "-no-progress")
_ROOT = ("-root-mode", "0755", "-root-uid", "0", "-root-gid", "0")
"""A tar's own `./` counts for nothing: without these anybody may write to the root folder."""
_TYPES = {
    "file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE,
    "character": tarfile.CHRTYPE, "block": tarfile.BLKTYPE, "pipe": tarfile.FIFOTYPE,
}  # fmt: skip


@dataclass(slots=True)
class _Data:
    """An entry's data as the file that tarfile reads."""

    parts: Iterator[bytes]
    rest: bytes = b""

    def read(self, size_bytes: int) -> bytes:
        while len(self.rest) < size_bytes and (part := next(self.parts, b"")):
            self.rest += part
        found, self.rest = self.rest[:size_bytes], self.rest[size_bytes:]
        return found


def write_root_image(
    entries: Iterable[Entry], out: Path, *, changed: Mapping[str, bytes], newest_s: int, label: str
) -> None:
    """Pack entries into a squashfs; `changed` are the contents of files that are other than there, or new.

    `newest_s` is the newest time of an entry, in Unix seconds.

    Raises ToolMissingError without mksquashfs, and ReleaseError if it fails.
    """
    if not shutil.which("mksquashfs"):
        raise ToolMissingError("mksquashfs is not installed", hint="install the package squashfs-tools")
    command = ("mksquashfs", "-", str(out), *_PACK, *_ROOT)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(newest_s)}
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        ) as process,
        ExitStack() as on_failure,
    ):
        on_failure.callback(process.kill)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with tarfile.open(fileobj=process.stdin, mode="w|", format=tarfile.GNU_FORMAT) as tar:
                for entry in with_parents(with_changes(whole_files(entries), changed)):
                    _add(tar, entry)
            process.stdin.close()
        except BrokenPipeError:  # what it said is told below
            with suppress(BrokenPipeError):
                process.stdin.close()
        on_failure.pop_all()
        said = process.stdout.read().decode(errors="replace")
    if process.returncode:
        raise ReleaseError(f"{label} cannot be packed into a squashfs", found=last_words(said))


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    if not entry.name:
        return
    info = tarfile.TarInfo(entry.name)
    info.type, info.mode, info.uid, info.gid = _TYPES[entry.kind], entry.mode, entry.uid, entry.gid
    info.mtime, info.linkname, info.size = int(entry.modified_s), entry.target, entry.size_bytes
    if entry.kind in ("character", "block"):
        info.devmajor, info.devminor = os.major(entry.device), os.minor(entry.device)
    data: IO[bytes] | None = _Data(data_of(entry)) if entry.size_bytes else None  # type: ignore[assignment]
    tar.addfile(info, data)


def whole_files(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield entries with the data of linked files at their first name, as tar has it; cpio has it at the last."""
    empty: dict[str, Entry] = {}
    waiting: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.kind == "file" and not entry.size_bytes:
            empty[entry.name] = entry
        elif entry.kind != "hard link" or (entry.target not in empty and not entry.size_bytes):
            yield entry
        elif not entry.size_bytes:
            waiting.setdefault(entry.target, []).append(entry)
        else:
            first = empty.pop(entry.target, None)
            yield replace(first or entry, name=entry.target, kind="file", target="", size_bytes=entry.size_bytes,
                          read=entry.read)  # fmt: skip
            yield from waiting.pop(entry.target, ())
            yield replace(entry, size_bytes=0, read=None)
    yield from empty.values()
    for links in waiting.values():
        yield from links


def with_changes(entries: Iterable[Entry], changed: Mapping[str, bytes]) -> Iterator[Entry]:
    """Yield entries with other contents, of the same mode, owner and time, and after them the files that are new."""
    left = dict(changed)
    for entry in entries:
        if entry.name in left and entry.kind in ("file", "hard link"):
            for _ in data_of(entry):
                pass
            data = left.pop(entry.name)
            yield replace(entry, kind="file", target="", size_bytes=len(data), read=BytesIO(data).read)
        else:
            yield entry
    for name, data in left.items():
        yield Entry(name, "file", size_bytes=len(data), read=BytesIO(data).read)


def with_parents(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield entries with the folders around them that are not among them: mksquashfs would give these today's time.

    An archive names folders before what is in them, or the kernel would not unpack it.
    """
    seen: set[str] = set()
    for entry in entries:
        parts = entry.name.split("/")
        for depth in range(1, len(parts)):
            if (parent := "/".join(parts[:depth])) not in seen:
                seen.add(parent)
                yield Entry(parent, "folder", 0o755)
        if entry.kind != "folder" or entry.name not in seen:
            seen.add(entry.name)
            yield entry


def data_of(entry: Entry) -> Iterator[bytes]:
    """Yield an entry's data."""
    read: Callable[[int], bytes] | None = entry.read
    while read is not None and (part := read(_CHUNK_BYTES)):
        yield part
