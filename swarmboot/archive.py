"""Archives as plain entries: tar (POSIX.1-2001 pax, ustar, GNU) and cpio (newc, initramfs buffer format), read forward.

`tar_entries` and `cpio_entries` turn bytes into entries and touch no file, in memory that does not grow with what an
archive claims. Names with `..`, numbers that no file can have and malformed archives raise ReleaseError. Nodes make
files of the entries (`leecher.initramfs.placing`); `publish` looks at them before it signs.
"""

from __future__ import annotations

import math
import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, NamedTuple, cast

from swarmboot.errors import EscapeError, ReleaseError

_CHUNK_BYTES = 1 << 18
_CPIO_HEADER_BYTES = 110
_CPIO_MAGIC = (b"070701", b"070702")
_CPIO_END = "TRAILER!!!"
_MAX_NAME_BYTES = 4096
_MAX_DEPTH = 256
"""In so many folders a name may be: what makes, removes and looks through them goes down one by one."""
_MAX_LINKED_BYTES = 1 << 28
"""What the first names of a cpio archive's linked files may take."""
_MAX_HEADERS_BYTES = 1 << 17
"""Most that may stand before one entry's data: pax and GNU headers, and maps of sparse files."""
_MAX_GLOBALS = 256
_MAX_ID, _MAX_MAJOR, _MAX_MINOR, _MAX_TIME_S = 2**32 - 2, 2**12 - 1, 2**20 - 1, 2.0**40
_TAR_FAULTS = (tarfile.TarError, EOFError, ValueError, OverflowError, IndexError, RecursionError)
_ATTRIBUTE, _CAPABILITY = "SCHILY.xattr.", "security.capability"
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "pipe",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in an archive. `name` and a hard link's `target` have no leading slash; `read` gives the contents.

    `attributes` are the extended ones beside its capability, by name.
    """

    name: str
    kind: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    modified_s: float = 0.0
    target: str = ""
    device: int = 0
    has_capability: bool = False
    capability: bytes = b""
    size_bytes: int = 0
    read: Callable[[int], bytes] | None = None
    attributes: tuple[tuple[str, bytes], ...] = ()

    @property
    def is_whiteout(self) -> bool:
        """Return whether this takes its name away, as overlayfs has it: a character device 0:0."""
        return self.kind == "character" and not self.device


def safe_name(name: str, *, archive: str) -> str:
    """Return a name below the root, without leading slash or dot; raise EscapeError if it holds `..`."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise EscapeError(f"{archive} holds a name that leads out of it", found=repr(name[:80]), hint="pack it again")
    return "/".join(parts)


def refusal(entry: Entry, allow: tuple[str, ...]) -> str:
    """Return which word of `allow` an entry of a plugin would need, or nothing; a whiteout needs none."""
    if entry.is_whiteout:
        return ""
    if entry.kind in ("character", "block"):
        return "" if "devices" in allow else "devices"
    is_special = bool(entry.mode & 0o6000 and entry.kind == "file") or entry.has_capability
    return "setuid" if is_special and "setuid" not in allow else ""


def tar_entries(archive: IO[bytes], *, name: str) -> Iterator[Entry]:
    """Yield the entries of a tar archive; raise ReleaseError for one that is broken, or holds what no file can have."""
    meter = _Meter(archive, name)
    try:
        with tarfile.open(fileobj=cast(IO[bytes], meter), mode="r|") as tar:
            while (member := tar.next()) is not None:  # the first was read when the archive was opened
                entry = _tar_entry(tar, member, archive=name)
                check_possible(entry, archive=name)
                meter.left_bytes = math.inf
                yield entry
                _skip_data(tar)
                meter.left_bytes = _MAX_HEADERS_BYTES
    except _TAR_FAULTS as error:
        raise ReleaseError(f"{name} is no whole tar archive", found=str(error)[:200], hint="pack it again") from error


class _Meter:
    """The bytes of an archive, of which tarfile may read no more than `left_bytes` before it is allowed more."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self.left_bytes: float = _MAX_HEADERS_BYTES

    def read(self, size_bytes: int) -> bytes:
        data = self._file.read(size_bytes)
        self.left_bytes -= len(data)
        if self.left_bytes < 0:
            raise ReleaseError(
                f"{self._name} is no tar archive that can be unpacked",
                expected=f"at most {_MAX_HEADERS_BYTES} bytes of headers before an entry",
                hint="pack it again, without large extended attributes",
            )
        return data


def _skip_data(tar: tarfile.TarFile) -> None:
    """Pass over what is left of a member's data, and forget what tarfile keeps of the members for extract().

    tarfile itself would go on reading, behind the archive's end, up to the size that is claimed.
    """
    assert tar.fileobj is not None
    while (left_bytes := tar.offset - tar.fileobj.tell()) > 0:
        if not tar.fileobj.read(min(left_bytes, _CHUNK_BYTES)):
            raise tarfile.ReadError("it ends too soon")
    tar.members = []  # type: ignore[attr-defined]
    if len(tar.pax_headers) > _MAX_GLOBALS:
        raise tarfile.ReadError(f"more than {_MAX_GLOBALS} global headers")


def check_possible(entry: Entry, *, archive: str) -> None:
    """Raise ReleaseError if an entry has a name, an owner, a time or a length that no file can have."""
    is_in_time = math.isfinite(entry.modified_s) and abs(entry.modified_s) <= _MAX_TIME_S
    faults = {
        "no name": not entry.name and entry.kind != "folder",
        "a name that is too long": len(entry.name) > _MAX_NAME_BYTES,
        f"more than {_MAX_DEPTH} folders around it": entry.name.count("/") > _MAX_DEPTH,
        "a link that no link can be": len(entry.target) > _MAX_NAME_BYTES or "\0" in entry.target,
        "an owner beyond 32 bits": not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID),
        f"the time {entry.modified_s:g}": not is_in_time,
    }
    if fault := next((word for word, holds in faults.items() if holds), ""):
        raise ReleaseError(
            f"{archive} holds {entry.name[:80]!r}, which no file can be", found=fault, hint="pack it again"
        )


def _device(major: int, minor: int, *, archive: str) -> int:
    if not (0 <= major <= _MAX_MAJOR and 0 <= minor <= _MAX_MINOR):
        raise ReleaseError(
            f"{archive} holds a device that Linux has not", found=f"{major}:{minor}", hint="pack it again"
        )
    return os.makedev(major, minor)


def _tar_entry(tar: tarfile.TarFile, member: tarfile.TarInfo, *, archive: str) -> Entry:
    kinds = {
        tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "link", tarfile.LNKTYPE: "hard link",
        tarfile.CHRTYPE: "character", tarfile.BLKTYPE: "block", tarfile.FIFOTYPE: "pipe",
    }  # fmt: skip
    kind = "file" if member.isreg() else kinds.get(member.type, "")
    if not kind:
        raise ReleaseError(f"{archive} holds {member.name[:80]!r}, of an unknown kind", found=repr(member.type))
    file = tar.extractfile(member) if kind == "file" else None
    attributes = {
        key.removeprefix(_ATTRIBUTE): value.encode("utf-8", "surrogateescape")
        for key, value in member.pax_headers.items()
        if key.startswith(_ATTRIBUTE)
    }
    capability = attributes.pop(_CAPABILITY, b"")
    return Entry(
        name=safe_name(member.name, archive=archive),
        kind=kind,
        mode=member.mode & 0o7777,
        uid=member.uid,
        gid=member.gid,
        modified_s=member.mtime,
        target=safe_name(member.linkname, archive=archive) if kind == "hard link" else member.linkname,
        device=_device(member.devmajor, member.devminor, archive=archive) if kind in ("character", "block") else 0,
        has_capability=bool(capability),
        capability=capability,
        size_bytes=member.size if kind == "file" else 0,
        read=_checked(file.read, archive) if file else None,
        attributes=tuple(sorted(attributes.items())),
    )


def _checked(read: Callable[[int], bytes], archive: str) -> Callable[[int], bytes]:
    def read_some(most_bytes: int) -> bytes:
        try:
            return read(most_bytes)
        except _TAR_FAULTS as error:
            found = str(error)[:200]
            raise ReleaseError(f"{archive} is no whole tar archive", found=found, hint="pack it again") from error

    return read_some


class Stream:
    """Reads a file forward, counting, so that cpio's padding can be passed over."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._ahead = b""
        self.position_bytes = 0

    def read(self, size_bytes: int) -> bytes:
        """Return that many bytes; raise ReleaseError if the stream ends before."""
        parts = []
        while size_bytes:
            part = self.some(size_bytes)
            if not part:
                raise ReleaseError(f"{self._name} ends too soon", expected=f"{size_bytes} more bytes")
            parts.append(part)
            size_bytes -= len(part)
        return b"".join(parts)

    def some(self, most_bytes: int) -> bytes:
        """Return at least one byte, none at the end."""
        if self._ahead:
            part, self._ahead = self._ahead[:most_bytes], self._ahead[most_bytes:]
        else:
            part = self._file.read(most_bytes)
        self.position_bytes += len(part)
        return part

    def put_back(self, data: bytes) -> None:
        """Have these bytes, the last that were read, read once more."""
        self._ahead = data + self._ahead
        self.position_bytes -= len(data)

    def align(self) -> None:
        """Pass over the bytes up to a multiple of four."""
        self.read(-self.position_bytes % 4)

    def pass_over_zeros(self) -> bool:
        """Return whether anything but zero bytes is left, and go on there."""
        while part := self.some(_CHUNK_BYTES):
            if left := part.lstrip(b"\0"):
                self.put_back(left)
                return True
        return False


def cpio_entries(archive: IO[bytes], *, name: str) -> Iterator[Entry]:
    """Yield the entries of a cpio archive, and of those that stand behind it: zero bytes may be between them.

    As the kernel reads them (init/initramfs.c): what follows an archive's end is an archive or an error.
    """
    stream = Stream(archive, name)
    yield from one_cpio(stream, name)
    while stream.pass_over_zeros():
        if stream.position_bytes % 4:
            raise ReleaseError(
                f"{name} holds something behind the end of a cpio archive",
                expected="zero bytes, or another archive at a multiple of four bytes",
                hint="pack it again",
            )
        yield from one_cpio(stream, name)


def one_cpio(stream: Stream, name: str) -> Iterator[Entry]:
    """Yield the entries of the cpio archive that begins here, and leave the stream behind its end."""
    first_names: dict[tuple[int, int, int], str] = {}
    linked_bytes = 0
    while (header := _cpio_header(stream, name)) is not None:
        kind = KINDS.get(stat.S_IFMT(header.mode), "")
        if kind == "link" and header.size_bytes > _MAX_NAME_BYTES:
            raise ReleaseError(f"{name} is no whole cpio archive", found=f"a link of {header.size_bytes} bytes")
        left = [header.size_bytes]
        target = stream.read(left.pop()).decode(errors="surrogateescape") if kind == "link" else ""
        first = path = safe_name(header.raw_name, archive=name)
        if kind == "file" and header.links > 1:
            first = first_names.setdefault(header.identity, path)
            linked_bytes += len(path) + _CPIO_HEADER_BYTES if first is path else 0
            if linked_bytes > _MAX_LINKED_BYTES:
                raise ReleaseError(f"{name} holds more linked files than can be unpacked", hint="pack it again")
        if first != path:
            kind, target = "hard link", first
        if kind:
            device = _device(*header.device, archive=name) if kind in ("character", "block") else 0
            read = _reader(stream, left) if left and kind in _WITH_DATA else None
            entry = Entry(
                path, kind, header.mode & 0o7777, header.uid, header.gid, float(header.modified_s), target, device,
                size_bytes=left[0] if read else 0, read=read,
            )  # fmt: skip
            check_possible(entry, archive=name)
            yield entry
        while left and left[0]:
            _reader(stream, left)(_CHUNK_BYTES)
        stream.align()


class _CpioHeader(NamedTuple):
    """What stands before one file of a cpio archive; `identity` is that of files that are linked to one another."""

    raw_name: str
    mode: int
    uid: int
    gid: int
    links: int
    modified_s: int
    size_bytes: int
    identity: tuple[int, int, int]
    device: tuple[int, int]


def _cpio_header(stream: Stream, name: str) -> _CpioHeader | None:
    """Return the next header, None at the archive's end."""
    header = stream.read(_CPIO_HEADER_BYTES)
    if header[:6] not in _CPIO_MAGIC or not re.fullmatch(rb"[0-9A-Fa-f]{104}", header[6:]):
        raise ReleaseError(f"{name} is no cpio archive", expected="the newc format", found=repr(header[:6]))
    fields = [int(header[6 + 8 * i : 14 + 8 * i], 16) for i in range(13)]
    ino, mode, uid, gid, links, modified_s, size_bytes, major, minor, rmajor, rminor, name_bytes, _ = fields
    if not 0 < name_bytes <= _MAX_NAME_BYTES:
        raise ReleaseError(f"{name} is no whole cpio archive", found=f"a name of {name_bytes} bytes")
    raw_name = stream.read(name_bytes).rstrip(b"\0").decode(errors="surrogateescape")
    stream.align()
    if raw_name == _CPIO_END:
        return None
    return _CpioHeader(raw_name, mode, uid, gid, links, modified_s, size_bytes, (major, minor, ino), (rmajor, rminor))


_WITH_DATA = ("file", "hard link")


def _reader(stream: Stream, left: list[int]) -> Callable[[int], bytes]:
    def read(most_bytes: int) -> bytes:
        data = stream.read(min(most_bytes, left[0]))
        left[0] -= len(data)
        return data

    return read
