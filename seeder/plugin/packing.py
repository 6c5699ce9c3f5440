"""Entries packed into one file, a squashfs or a tar: the same entries make the same bytes, whole or not at all.

A squashfs is made of a tar that mksquashfs(1) reads, so owners, devices and capabilities need no root here. Times are
those of the entries; the image's own time is `time_s`.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from seeder.publish.release_dir import PLUGIN_FORMATS
from swarmboot.archive import Entry
from swarmboot.errors import MalformedSettingError, ReleaseError, ResourceError, SpaceError, ToolMissingError
from swarmboot.host.files import named_as
from swarmboot.host.programs import check_installed, last_words
from swarmboot.release.manifest import is_safe_name

_TYPES = {
    "file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE,
    "character": tarfile.CHRTYPE, "block": tarfile.BLKTYPE, "pipe": tarfile.FIFOTYPE,
}  # fmt: skip
_PACKERS = {"squashfs": {"mksquashfs": "squashfs-tools"}, "tar.zst": {"zstd": "zstd"}}
"""What writes a format, by the Debian package that brings it."""

_CAPABILITY = "SCHILY.xattr.security.capability"
_MODE = 0o644


def format_of(target: Path) -> str:
    """Return which of the formats of plugins a file's name stands for; raise MalformedSettingError if it is none."""
    kind = next((kind for kind in PLUGIN_FORMATS if target.name.endswith(f".{kind}")), "")
    if not kind or not is_safe_name(target.name):
        raise MalformedSettingError(
            f"{target.name!r} is no name of a plugin",
            expected=f"letters, digits, . _ + and -, ending in .{', .'.join(PLUGIN_FORMATS)}",
            found=target.name,
        )
    return kind


def check_target(target: Path) -> str:
    """Return the format of a plugin that is going to be written, before what takes long; raises as `pack` does."""
    parent = target.parent
    if not parent.is_dir() and not (parent.name == "plugins" and parent.parent.is_dir()):
        raise MalformedSettingError(f"there is no folder {parent}", hint="make it, or name another --output")
    kind = format_of(target)
    check_installed(_PACKERS.get(kind, {}))
    return kind


def pack(entries: Iterable[Entry], target: Path, *, time_s: int, is_quick: bool = False) -> None:
    """Write entries, folders before what is in them, into a file of the format that its name says.

    A squashfs that is only needed for a moment, `is_quick`, is not compressed.

    Raises ToolMissingError, ResourceError if the program for it fails, ReleaseError for what cannot be packed.
    """
    check_target(target)
    target.parent.mkdir(exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
    with named_as(target):
        try:
            with _packer(format_of(target), temporary, time_s, is_quick) as stream, _tar(stream) as tar:
                for entry in entries:
                    _add(tar, entry)
            temporary.chmod(_MODE)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _tar(stream: IO[bytes]) -> Iterator[tarfile.TarFile]:
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        yield tar


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.name)
    info.type, info.mode, info.uid, info.gid = _TYPES[entry.kind], entry.mode, entry.uid, entry.gid
    info.mtime, info.linkname, info.size = int(max(entry.modified_s, 0)), entry.target, entry.size_bytes
    info.devmajor, info.devminor = os.major(entry.device), os.minor(entry.device)
    if entry.capability:
        info.pax_headers = {_CAPABILITY: entry.capability.decode("utf-8", "surrogateescape")}
    try:
        tar.addfile(info, cast(IO[bytes], _Contents(entry.read)) if entry.read else None)
    except (tarfile.ReadError, EOFError) as error:
        raise ReleaseError(f"/{entry.name} changed while it was packed", hint="run it again") from error


class _Contents:
    """What tarfile reads a file's contents from."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.read = read


@contextmanager
def _packer(kind: str, path: Path, time_s: int, is_quick: bool) -> Iterator[IO[bytes]]:
    """Give what takes a tar and writes it to a path as `kind`."""
    if kind == "tar.gz":
        with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as gz:
            yield cast(IO[bytes], gz)
        return
    if kind == "tar.zst":
        command: tuple[str, ...] = ("zstd", "-q", "-T1", "-15", "-o", str(path))
    else:
        root = ("-root-mode", "755", "-root-uid", "0", "-root-gid", "0")
        packed = ("-noI", "-noD", "-noF", "-noX") if is_quick else ("-comp", "zstd", "-b", "256K")
        how = (*packed, "-quiet", "-no-progress", "-noappend")
        command = ("mksquashfs", "-", str(path), "-tar", *root, *how)
    with _program(command, time_s) as stream:
        yield stream


@contextmanager
def _program(command: tuple[str, ...], time_s: int) -> Iterator[IO[bytes]]:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(time_s), "LC_ALL": "C.UTF-8"}  # its root folder's time, too
    with tempfile.TemporaryFile() as words:
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=words, stderr=words, env=environment)
        except FileNotFoundError as error:
            package = {"mksquashfs": "squashfs-tools"}.get(command[0], command[0])
            raise ToolMissingError(f"{command[0]} is not installed", hint=f"install the package {package}") from error
        with process:
            assert process.stdin is not None
            is_whole = False
            try:
                yield process.stdin
                process.stdin.close()
                process.wait()
                is_whole = process.returncode == 0
            except BrokenPipeError:
                process.wait()
            finally:
                process.kill()
                with suppress(BrokenPipeError):
                    process.stdin.close()
        if not is_whole:
            _fail(command[0], process.returncode, words)


def _fail(name: str, status: int, words: IO[bytes]) -> None:
    words.seek(0)
    said = last_words(words.read().decode(errors="replace"))
    if "No space left" in said:
        raise SpaceError(f"{name} has no room for the plugin", found=said, hint="free some space and run it again")
    raise ResourceError(f"{name} failed", expected="exit status 0", found=f"{status}: {said}")
