"""What a small image that claims much may take of the publisher's machine."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from seeder.program import parse_program
from seeder.publish.check.readers import bounds, initramfs
from seeder.publish.check.readers.images import list_squashfs, read_image
from seeder.publish.check.readers.initramfs import read_initramfs
from seeder.publish.images import unpacked_size
from seeder.publish.release_dir import ReleaseFile
from swarmboot.errors import ReleaseError, ResourceError
from swarmboot.release.manifest import Role

MIB = 1 << 20
RUNTIME = "usr/lib/swarmboot/runtime.squashfs"


def link(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "x"
    return info


def file(name: str, size_bytes: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    return info


def image(folder: Path, *members: tarfile.TarInfo) -> ReleaseFile:
    """Return a tar image of these members, whose contents are zeros."""
    path = folder / "rootfs.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return ReleaseFile(path, path.name, path.name, Role.ROOT, "tar.gz", path.stat().st_size)


def packed_cpio(folder: Path, *entries: tuple[str, bytes]) -> Path:
    """Return an initramfs of these files."""
    archive = b""
    for name, data in (*entries, ("TRAILER!!!", b"")):
        raw = name.encode() + b"\0"
        fields = (1, stat.S_IFREG | 0o644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
        archive += head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
    path = folder / "initramfs.img"
    path.write_bytes(gzip.compress(archive))
    return path


def elf(*, entry_bytes: int = 56, count: int = 1, name_bytes: int = 16) -> bytes:
    """Return the head of a program that names an interpreter."""
    head = bytearray(1 << 16)
    head[:6], head[18:20] = b"\x7fELF\x02\x01", struct.pack("<H", 62)
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, entry_bytes, count)
    struct.pack_into("<IIQQQQ", head, 64, 3, 0, 128, 0, 0, name_bytes)
    head[128:132] = b"/lib"
    return bytes(head)


def test_of_an_archives_contents_only_what_is_asked_for_is_in_memory(tmp_path: Path) -> None:
    found = image(tmp_path, *(file(f"usr/bin/a{number}", MIB) for number in range(30)), file("etc/fstab", 2 * MIB))
    tracemalloc.start()
    layer = read_image(found).layer
    kept_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(layer.text("etc/fstab")) == MIB
    assert kept_bytes < 4 * MIB


def test_names_beyond_their_room_end_the_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "NAMES_MAX_BYTES", 100_000)
    with pytest.raises(ResourceError, match="more names than there is room for"):
        read_image(image(tmp_path, *(link(f"{number}") for number in range(300))))
    with pytest.raises(ResourceError, match="more names than there is room for"):
        read_image(image(tmp_path, link("a/" * 200 + "x")))  # the folders that it lies in count as well
    with pytest.raises(ResourceError, match="more names than there is room for"):
        read_initramfs(packed_cpio(tmp_path, *((f"{number}", b"") for number in range(300))), label="initramfs.img")


@pytest.mark.needs("mksquashfs", "unsquashfs")
def test_names_of_a_squashfs_beyond_their_room_end_the_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "NAMES_MAX_BYTES", 50_000)
    (tmp_path / "root").mkdir()
    for number in range(300):
        (tmp_path / f"root/{number}").symlink_to("x")
    packed = tmp_path / "rootfs.squashfs"
    subprocess.run(("mksquashfs", tmp_path / "root", packed, "-quiet"), check=True, capture_output=True, timeout=60)
    with pytest.raises(ResourceError, match="more names than there is room for"):
        list_squashfs(packed, label="rootfs.squashfs")


def test_entries_beyond_their_number_end_the_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "ENTRIES_MAX", 100)
    with pytest.raises(ResourceError, match="more than 100 entries"):
        read_image(image(tmp_path, *(file(f"{number}", 0) for number in range(101))))


def test_what_no_node_could_hold_is_not_unpacked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacked_size, "UNPACKED_MAX_BYTES", MIB)
    with pytest.raises(ReleaseError, match="too large unpacked"):
        read_image(image(tmp_path, file("x", 2 * MIB)))
    with pytest.raises(ReleaseError, match="too large unpacked"):
        read_initramfs(packed_cpio(tmp_path, ("x", bytes(2 * MIB))), label="initramfs.img")


def test_of_a_leecher_that_is_far_too_large_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initramfs, "RUNTIME_MAX_BYTES", MIB)
    found = read_initramfs(packed_cpio(tmp_path, (RUNTIME, bytes(3 * MIB))), label="initramfs.img")
    assert (found.runtime_bytes, found.has_zstd) == (3 * MIB, None)


def test_program_headers_are_those_that_the_kernel_takes() -> None:
    program = parse_program(elf())
    assert program is not None
    assert program.interpreter == "/lib"
    assert parse_program(elf(entry_bytes=0, count=65535)) is None
    assert parse_program(elf(count=2000)) is None
    assert parse_program(elf(name_bytes=5000)) is None
