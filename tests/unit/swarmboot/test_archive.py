"""Archives as entries, and what a plugin may bring."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot import archive
from swarmboot.archive import Entry, cpio_entries, refusal, safe_name, tar_entries
from swarmboot.errors import EscapeError, ReleaseError


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for member, contents in members:
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    file.seek(0)
    return file


def cpio_entry(
    name: str, contents: bytes = b"", *, mode: int = stat.S_IFREG | 0o644, ino: int = 1, links: int = 1
) -> bytes:
    raw = name.encode() + b"\0"
    fields = (ino, mode, 0, 0, links, 0, len(contents), 0, 0, 0, 0, len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
    head += bytes(-len(head) % 4)
    return head + contents + bytes(-len(contents) % 4)


def cpio_of(*entries: bytes) -> io.BytesIO:
    return io.BytesIO(b"".join(entries) + cpio_entry("TRAILER!!!"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("./etc/motd", "etc/motd"), ("/etc//motd", "etc/motd"), (".", ""), ("a/./b", "a/b"), ("..a/b..", "..a/b..")],
)
def test_a_name_is_taken_from_the_root(name: str, expected: str) -> None:
    assert safe_name(name, archive="plugin.tar.gz") == expected


@pytest.mark.parametrize("name", ["..", "../etc/passwd", "a/../../b", "/../x", "a/.."])
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(EscapeError, match=r"plugin\.tar\.gz"):
        safe_name(name, archive="plugin.tar.gz")


@given(st.text())
def test_a_safe_name_never_leads_out(name: str) -> None:
    try:
        safe = safe_name(name, archive="x")
    except EscapeError:
        return
    assert not safe.startswith("/")
    assert ".." not in safe.split("/")


def test_a_tar_archive_gives_its_files_folders_and_links() -> None:
    folder = tarfile.TarInfo("./etc")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    link = tarfile.TarInfo("/lib")
    link.type, link.linkname = tarfile.SYMTYPE, "usr/lib"
    read = [
        (entry.name, entry.kind, entry.target, entry.read(100) if entry.read else b"")
        for entry in tar_entries(tar_of((folder, b""), (tarfile.TarInfo("etc/motd"), b"hi"), (link, b"")), name="p")
    ]
    assert read == [("etc", "folder", "", b""), ("etc/motd", "file", "", b"hi"), ("lib", "link", "usr/lib", b"")]


def test_a_hard_link_out_of_a_tar_archive_is_refused() -> None:
    link = tarfile.TarInfo("shadow")
    link.type, link.linkname = tarfile.LNKTYPE, "../../etc/shadow"
    with pytest.raises(EscapeError):
        list(tar_entries(tar_of((link, b"")), name="p"))


def drain(entries: Iterable[Entry]) -> list[str]:
    names = []
    for entry in entries:
        names.append(entry.name)
        while entry.read is not None and entry.read(512):
            pass
    return names


def test_half_a_tar_archive_is_refused() -> None:
    whole = tar_of((tarfile.TarInfo("a"), bytes(5000))).getvalue()
    with pytest.raises(ReleaseError, match="no whole tar"):
        drain(tar_entries(io.BytesIO(whole[:2048]), name="p"))


def test_a_cpio_archive_gives_its_entries_and_passes_over_what_is_not_read() -> None:
    archive = cpio_of(
        cpio_entry("etc", mode=stat.S_IFDIR | 0o755),
        cpio_entry("etc/unread", b"12345"),
        cpio_entry("etc/motd", b"hello"),
        cpio_entry("bin", b"usr/bin", mode=stat.S_IFLNK | 0o777),
    )
    found = {}
    for entry in cpio_entries(archive, name="rootfs.cpio.gz"):
        found[entry.name] = (
            entry.kind,
            entry.target or (entry.read(99) if entry.read and "motd" in entry.name else b""),
        )
    assert found == {
        "etc": ("folder", b""),
        "etc/unread": ("file", b""),
        "etc/motd": ("file", b"hello"),
        "bin": ("link", "usr/bin"),
    }


@pytest.mark.parametrize("zeros", [0, 4, 1 << 19])
def test_every_one_of_several_cpio_archives_is_read_as_the_kernel_reads_them(zeros: int) -> None:
    first, second = (cpio_of(cpio_entry(name, b"x")).getvalue() for name in ("a", "b"))
    assert drain(cpio_entries(io.BytesIO(first + bytes(zeros) + second), name="x")) == ["a", "b"]
    assert drain(cpio_entries(io.BytesIO(first + second + bytes(zeros)), name="x")) == ["a", "b"]


@pytest.mark.parametrize("behind", [b"garbage!" * 20, bytes(3) + cpio_entry("b"), b"070701"])
def test_what_stands_behind_a_cpio_archive_and_is_none_is_refused(behind: bytes) -> None:
    with pytest.raises(ReleaseError, match=r"^x "):
        drain(cpio_entries(io.BytesIO(cpio_of(cpio_entry("a")).getvalue() + behind), name="x"))


def test_a_hard_link_does_not_lead_from_one_cpio_archive_into_the_next() -> None:
    first, second = (cpio_of(cpio_entry(name, b"x", ino=7, links=2)).getvalue() for name in ("a", "b"))
    kinds = [entry.kind for entry in cpio_entries(io.BytesIO(first + second), name="x")]
    assert kinds == ["file", "file"]


def test_hard_links_of_a_cpio_archive_share_the_contents_of_the_last() -> None:
    archive = cpio_of(cpio_entry("a", ino=7, links=2), cpio_entry("b", b"data", ino=7, links=2))
    first, second = [
        (entry.name, entry.kind, entry.target, entry.read(9) if entry.read else b"")
        for entry in cpio_entries(archive, name="x")
    ]
    assert first == ("a", "file", "", b"")
    assert second == ("b", "hard link", "a", b"data")


@given(st.binary(max_size=400))
def test_noise_is_no_cpio_archive_and_nothing_worse(noise: bytes) -> None:
    with pytest.raises(ReleaseError):
        drain(cpio_entries(io.BytesIO(noise), name="x"))


@pytest.mark.parametrize(
    ("entry", "allow", "expected"),
    [
        (Entry("usr/bin/x", "file", 0o755), (), ""),
        (Entry("usr/bin/su", "file", 0o4755), (), "setuid"),
        (Entry("usr/bin/su", "file", 0o4755), ("setuid",), ""),
        (Entry("usr/bin/wall", "file", 0o2755), ("devices",), "setuid"),
        (Entry("srv", "folder", 0o2775), (), ""),
        (Entry("ping", "file", 0o755, has_capability=True), (), "setuid"),
        (Entry("dev/sda", "block", 0o600), ("setuid",), "devices"),
        (Entry("dev/null", "character", 0o666), ("devices",), ""),
    ],
)
def test_a_plugin_may_bring_what_the_release_allows(entry: Entry, allow: tuple[str, ...], expected: str) -> None:
    assert refusal(entry, allow) == expected


def raw_header(name: str, kind: bytes, size_bytes: int, **numbers: int) -> bytes:
    """Return one tar header as tarfile writes it, whatever its numbers."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size_bytes
    for field, value in numbers.items():
        setattr(member, field, value)
    return member.tobuf(format=tarfile.GNU_FORMAT)


def pax(data: bytes) -> bytes:
    """Return a pax header with these records."""
    return raw_header("pax", tarfile.XHDTYPE, len(data)) + data + bytes(-len(data) % 512)


def record(keyword: str, value: str) -> bytes:
    text = f" {keyword}={value}\n".encode()
    size_bytes = len(text) + 1
    while len(str(size_bytes)) + len(text) != size_bytes:
        size_bytes += 1
    return str(size_bytes).encode() + text


END = bytes(1024)
PLAIN = raw_header("f", tarfile.REGTYPE, 0)
ODD_TARS = {
    "a pax header of a gibibyte": raw_header("pax", tarfile.XHDTYPE, 1 << 30) + bytes(1 << 20),
    "a name of a gibibyte": raw_header("name", tarfile.GNUTYPE_LONGNAME, 1 << 30) + bytes(1 << 20),
    "pax headers without an end": pax(record("comment", "x")) * 3000 + PLAIN + END,
    "global headers without an end": b"".join(
        raw_header("pax", tarfile.XGLTYPE, 512) + record(f"k{number}", "x" * 490)[:512].ljust(512, b"\0") + PLAIN
        for number in range(300)
    ) + END,
    "a uid of a thousand digits": pax(record("uid", "9" * 1000)) + PLAIN + END,
    "a uid beyond 32 bits": pax(record("uid", str(2**32 - 1))) + PLAIN + END,
    "a negative gid": raw_header("f", tarfile.REGTYPE, 0, gid=-5) + END,
    "a time that is no number": pax(record("mtime", "nan")) + PLAIN + END,
    "a time without an end": pax(record("mtime", "inf")) + PLAIN + END,
    "a time far ahead": pax(record("mtime", "1e300")) + PLAIN + END,
    "a negative size": pax(record("size", "-1000000")) + PLAIN + END,
    "a size beyond the archive": pax(record("size", "9" * 18)) + PLAIN + END,
    "a record without a length": pax(b"x comment=y\n") + PLAIN + END,
    "a record of length 0": pax(b"0 a=b\n") + PLAIN + END,
    "a sparse size that is no number": pax(record("GNU.sparse.size", "x")) + PLAIN + END,
    "a sparse map that is no number": pax(record("GNU.sparse.map", "1,x")) + PLAIN + END,
    "a sparse map without an end": pax(record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0"))
    + raw_header("f", tarfile.REGTYPE, 1 << 29) + b"999999999\n" + b"0\n" * (1 << 19) + END,
    "a device beyond Linux's": raw_header("d", tarfile.CHRTYPE, 0, devmajor=4096) + END,
    "a negative device": raw_header("d", tarfile.BLKTYPE, 0, devminor=-1) + END,
    "a link with a zero": pax(record("linkpath", "a\0b")) + raw_header("l", tarfile.SYMTYPE, 0) + END,
    "a file without a name": raw_header("./", tarfile.REGTYPE, 0)[:156] + b"6" + bytes(355),
    "a name that is too long": pax(record("path", "x/" * 3000)) + PLAIN + END,
}  # fmt: skip


@pytest.mark.parametrize("data", ODD_TARS.values(), ids=ODD_TARS.keys())
def test_an_odd_tar_archive_is_refused_in_one_line(data: bytes) -> None:
    try:
        read = [(entry.uid, abs(entry.modified_s) < 2**41) for entry in tar_entries(io.BytesIO(data), name="p")]
    except ReleaseError as error:
        assert len(str(error)) < 400  # noqa: PT017 - some Pythons take these for 0, others refuse them
    else:
        assert read == [(0, True)]


class Endless(io.RawIOBase):
    """A stream that begins as given and goes on with zeros, counting what is read."""

    def __init__(self, head: bytes) -> None:
        self._head = io.BytesIO(head)
        self.read_bytes = 0

    def read(self, size: int = -1) -> bytes:
        self.read_bytes += size
        return self._head.read(size).ljust(size, b"1")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_of_gibibytes_is_given_up_after_its_bound(kind: bytes) -> None:
    stream = Endless(raw_header("h", kind, 3 << 30))
    with pytest.raises(ReleaseError, match="bytes of headers before an entry"):
        list(tar_entries(stream, name="p"))  # type: ignore[arg-type]
    assert stream.read_bytes < 1 << 20


def test_a_large_file_is_no_header() -> None:
    data = b"x" * (2 << 20)
    archive = tar_of((tarfile.TarInfo("a"), data), (tarfile.TarInfo("b"), data), (tarfile.TarInfo("c"), b""))
    assert [entry.name for entry in tar_entries(archive, name="p")] == ["a", "b", "c"]
    archive.seek(0)
    assert [entry.read(1 << 22) for entry in tar_entries(archive, name="p") if entry.read] == [data, data, b""]


def test_the_members_of_an_archive_are_not_kept() -> None:
    archive = tar_of(*((tarfile.TarInfo(str(number)), b"") for number in range(100)))
    assert len(list(tar_entries(archive, name="p"))) == 100


def odd_cpio(**changes: int) -> io.BytesIO:
    names = (
        "ino",
        "mode",
        "uid",
        "gid",
        "links",
        "time",
        "size",
        "major",
        "minor",
        "rmajor",
        "rminor",
        "name",
        "check",
    )
    numbers = dict.fromkeys(names, 0) | {"mode": stat.S_IFREG | 0o644, "name": 2} | changes
    head = b"070701" + b"".join(b"%08X" % numbers[name] for name in names) + b"f\0"
    return io.BytesIO(head + bytes(-len(head) % 4) + bytes(1 << 16) + cpio_entry("TRAILER!!!"))


@pytest.mark.parametrize(
    "changes",
    [{"mode": stat.S_IFCHR, "rmajor": 0xFFFFFFFF}, {"mode": stat.S_IFBLK, "rminor": 1 << 20}, {"uid": 0xFFFFFFFF},
     {"gid": 0xFFFFFFFF}, {"mode": stat.S_IFLNK, "size": 0xFFFFFFFF}, {"name": 0xFFFFFFFF}, {"name": 0},
     {"size": 0xFFFFFFFF}],
)  # fmt: skip
def test_an_odd_cpio_archive_is_refused_in_one_line(changes: dict[str, int]) -> None:
    with pytest.raises(ReleaseError) as refused:
        list(cpio_entries(odd_cpio(**changes), name="root.cpio"))
    assert len(str(refused.value)) < 300


def test_a_name_in_folders_without_end_is_refused() -> None:
    name = "a/" * 300 + "x"
    with pytest.raises(ReleaseError, match="folders around it"):
        list(tar_entries(tar_of((tarfile.TarInfo(name), b"")), name="plugin.tar.gz"))
    with pytest.raises(ReleaseError, match="folders around it"):
        list(cpio_entries(cpio_of(cpio_entry(name)), name="root.cpio"))


def test_linked_files_of_a_cpio_archive_take_no_more_memory_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MAX_LINKED_BYTES", 10_000)
    entries = [cpio_entry(f"file{number}", ino=number, links=2) for number in range(200)]
    with pytest.raises(ReleaseError, match="more linked files"):
        list(cpio_entries(cpio_of(*entries), name="root.cpio"))
