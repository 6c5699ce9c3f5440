"""Archives as entries, and what a plugin may bring."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leecher.archive import Entry, cpio_entries, safe_name, tar_entries
from leecher.root import refusal
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
