"""`publish --sort`: real images packed again in the order of a boot's reads, and nothing else about them changed."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from random import Random

import pytest

from seeder.site.writer import writing
from seeder.squashfs.places import Part, bytes_under, parts_under
from seeder.squashfs.reader import read_squashfs
from seeder.squashfs.repack import check_alike, repack_apart
from swarmboot.errors import ReleaseError
from swarmboot.release import layout
from swarmboot.release.trace import pieces_of
from tests.support.releases.publishing import Place, build_place
from tests.support.releases.squashes import BLOCK_BYTES, grow_tree, pack_tree

pytestmark = pytest.mark.needs("mksquashfs", "unsquashfs", "zstd", "lz4")
PLAIN = ("-noD", "-noF", "-noI")
"""Uncompressed: where a file lies can be seen without any reader."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return build_place(tmp_path)


def write_trace(place: Place, *lines: str) -> Path:
    path = place.release.parent / "trace"
    path.write_text("\n".join(lines))
    return path


def root_blob(place: Place, number: int = 1) -> Path:
    root = next(each for each in place.manifest(number).artifacts if each.name == "rootfs.squashfs")
    return place.site / layout.blob_path(root.sha256)


def facts_of(path: Path) -> tuple[object, ...]:
    """Return all that a file is, in a tree that was unpacked."""
    status = path.lstat()
    data = path.read_bytes() if stat.S_ISREG(status.st_mode) else path.readlink() if path.is_symlink() else None
    names = os.listxattr(path, follow_symlinks=False)
    attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    size_bytes = 0 if path.is_dir() else status.st_size
    return (
        status.st_mode, status.st_uid, status.st_gid, status.st_mtime, status.st_nlink, status.st_rdev, size_bytes,
        data, attributes,
    )  # fmt: skip


def unpacked(image: Path, to: Path) -> dict[str, tuple[object, ...]]:
    subprocess.run(("unsquashfs", "-quiet", "-no-progress", "-d", to, image), check=True, capture_output=True)
    return {str(path.relative_to(to)): facts_of(path) for path in sorted([to, *to.rglob("*")])}


@pytest.mark.root
@pytest.mark.parametrize("options", [PLAIN, ("-comp", "xz"), ("-comp", "zstd", "-Xcompression-level", "3")])
def test_nothing_but_the_order_of_an_image_changes_and_the_same_bytes_come_again(
    place: Place, tmp_path: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = grow_tree(tmp_path / "tree")
    image = place.release / "rootfs.squashfs"
    pack_tree(tmp_path / "tree", image, *options)
    Random(3).shuffle(names)
    trace = write_trace(place, *(f"rootfs.squashfs 0 {1 << 20} /{name}" for name in names[:20]))
    done = place.publish("--trace", trace, "--sort")
    assert done.status == 0, done.err
    assert "rootfs.squashfs is sorted: 20 files first" in done.out
    found = root_blob(place)
    assert unpacked(found, tmp_path / "after") == unpacked(image, tmp_path / "before")
    assert not list((place.site / ".incoming").iterdir())
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "7")
    assert place.publish("--trace", trace, "--sort").status == 0
    assert not (place.site / "manifests" / "2").exists()
    said = [
        subprocess.run(("unsquashfs", "-s", path), capture_output=True, check=True).stdout for path in (image, found)
    ]
    assert [line for line in said[0].splitlines() if b"ompress" in line or b"time" in line] == [
        line for line in said[1].splitlines() if b"ompress" in line or b"time" in line
    ]


@pytest.mark.root
def test_files_lie_in_the_order_of_the_trace_and_links_lead_to_them(place: Place, tmp_path: Path) -> None:
    names = grow_tree(tmp_path / "tree")
    pack_tree(tmp_path / "tree", place.release / "rootfs.squashfs", *PLAIN, "-no-fragments")
    wanted = [names[40], names[-1], names[0], names[30]]
    asked = [names[40], names[-1], "lib/000", names[30]]
    trace = write_trace(
        place, *(f"rootfs.squashfs 0 {1 << 20} /{name}" for name in [*asked, "lib/libone.so", "not/there"])
    )
    done = place.publish("--trace", trace, "--sort", "--piece", "16KiB")
    assert done.status == 0, done.err
    assert "1 files of the trace are not in rootfs.squashfs, the first /not/there" in done.out
    data = root_blob(place).read_bytes()
    places = [data.index(f"<{name}>".encode()) for name in names]
    assert [name for _, name in sorted(zip(places, names, strict=True))][:5] == [*wanted, names[1]]
    root = next(each for each in place.manifest(1).artifacts if each.name == "rootfs.squashfs")
    read_bytes = sum((tmp_path / "tree" / name).stat().st_size for name in [*wanted, names[1]])
    tables_bytes = read_squashfs(root_blob(place), label="x").tables[1]
    assert root.trace[0] == (0, 1)
    assert len(root.trace) <= 4
    assert pieces_of(root.trace).bit_count() <= (read_bytes + tables_bytes) // root.piece_bytes + 4


@pytest.mark.root
@pytest.mark.parametrize("options", [PLAIN, ("-comp", "gzip", "-always-use-fragments")])
def test_packed_apart_an_image_is_the_same_and_its_bytes_tell_which_file_was_read(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    names = grow_tree(tmp_path / "tree")
    pack_tree(tmp_path / "tree", tmp_path / "image", *options)
    before = read_squashfs(tmp_path / "image", label="image")
    (tmp_path / "folder").mkdir()
    apart = read_squashfs(repack_apart(tmp_path / "image", before, folder=tmp_path / "folder"), label="image")
    check_alike(before, apart)
    owners = [
        {part.path for part in parts_under(each, bytes_under(each, Part(name.encode(), 0, 1)))}
        for each in (before, apart) for name in names
    ]  # fmt: skip
    assert max(map(len, owners[: len(names)])) > 1
    assert max(map(len, owners[len(names) :])) == 1


@pytest.mark.root
def test_a_trace_of_bytes_sorts_the_image_that_it_was_recorded_with(place: Place, tmp_path: Path) -> None:
    names = grow_tree(tmp_path / "tree")
    image = place.release / "rootfs.squashfs"
    pack_tree(tmp_path / "tree", image, *PLAIN, "-no-fragments")
    wanted = [names[50], names[10]]
    data = image.read_bytes()
    found = [(data.index(f"<{name}>".encode()), (tmp_path / "tree" / name).stat().st_size) for name in wanted]
    trace = write_trace(place, *(f"rootfs.squashfs {first} {size}" for first, size in found))
    assert place.publish("--trace", trace, "--sort").status == 0
    after = root_blob(place).read_bytes()
    assert sorted(names, key=lambda name: after.index(f"<{name}>".encode()))[:2] == wanted


def test_a_trace_of_files_is_true_of_an_image_that_is_not_sorted(place: Place, tmp_path: Path) -> None:
    names = grow_tree(tmp_path / "tree")
    image = place.release / "rootfs.squashfs"
    pack_tree(tmp_path / "tree", image, *PLAIN)
    (place.release / "vmlinuz").write_bytes(b"kernel")
    trace = write_trace(place, f"rootfs.squashfs 0 {1 << 20} /{names[9]}")
    assert place.publish("--trace", trace, "--piece", "16KiB").status == 0
    assert root_blob(place).read_bytes() == image.read_bytes()
    root = next(each for each in place.manifest(1).artifacts if each.name == "rootfs.squashfs")
    at = image.read_bytes().index(f"<{names[9]}>".encode()) // root.piece_bytes
    assert pieces_of(root.trace) >> at & 1
    assert pieces_of(root.trace).bit_count() < root.size_bytes // root.piece_bytes // 2


@pytest.mark.parametrize("compressor", ["gzip", "xz", "zstd", "lz4"])
def test_where_a_file_lies_and_which_file_lies_there_agree(tmp_path: Path, compressor: str) -> None:
    names = grow_tree(tmp_path / "tree", files=25)
    pack_tree(tmp_path / "tree", tmp_path / "image", "-comp", compressor)
    image = read_squashfs(tmp_path / "image", label="image")
    for path in (tmp_path / "tree").rglob("*"):
        node, status = image.nodes[os.fsencode(path.relative_to(tmp_path / "tree"))], path.lstat()
        assert (node.mode, node.mtime_unix_s) == (stat.S_IMODE(status.st_mode), int(status.st_mtime))
        assert node.kind in ("folder", "link") or node.size_bytes == (status.st_size if node.kind == "file" else 0)
    assert image.nodes[b"usr/same"].first_byte == image.nodes[names[3].encode()].first_byte
    assert list(bytes_under(image, Part(b"sparse", 0, 10 * BLOCK_BYTES))) == []
    for name in names:
        (*_, last) = bytes_under(image, Part(name.encode(), 0, 1 << 20))
        inode = image.nodes[name.encode()]
        assert any(image.nodes[part.path] == inode or b"same" in part.path for part in parts_under(image, [last]))


def test_what_cannot_be_sorted_is_refused_in_one_line(place: Place, tmp_path: Path) -> None:
    grow_tree(tmp_path / "tree", files=10)
    pack_tree(tmp_path / "tree", place.release / "rootfs.squashfs")
    assert (place.publish("--sort").status, place.publish("--sort").err.count("\n")) == (42, 1)
    for line, status in (("rootfs.squashfs 0 5 /none", 50), ("10-a.squashfs 0 1 /x", 50)):
        done = place.publish("--trace", write_trace(place, line))
        assert (done.status, done.err.count("\n")) == (status, 1), done.err
    data = (place.release / "rootfs.squashfs").read_bytes()
    (place.release / "rootfs.squashfs").write_bytes(data[: len(data) // 2])
    done = place.publish("--trace", write_trace(place, "rootfs.squashfs 0 5 /usr/lib/001"))
    assert (done.status, "rootfs.squashfs cannot be read as a squashfs" in done.err) == (50, True)
    assert not list((place.site / "channels").glob("*"))


@pytest.mark.root
def test_an_image_that_lost_anything_on_the_way_is_not_taken_for_the_same(tmp_path: Path) -> None:
    names = grow_tree(tmp_path / "tree", files=10)
    pack_tree(tmp_path / "tree", tmp_path / "whole")
    pack_tree(tmp_path / "tree", tmp_path / "bare", "-no-xattrs")
    pack_tree(tmp_path / "tree", tmp_path / "owned", "-all-root")
    whole = read_squashfs(tmp_path / "whole", label="rootfs.squashfs")
    check_alike(whole, whole)
    for other, path in (("bare", names[6]), ("owned", names[5])):
        with pytest.raises(ReleaseError, match=f"would not be the same, packed again: /{path}"):
            check_alike(whole, read_squashfs(tmp_path / other, label="rootfs.squashfs"))


def test_what_a_killed_publish_left_of_sorting_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "site/.incoming/x/tree").mkdir(parents=True)
    (tmp_path / "site/.incoming/x/tree/file").touch()
    with writing(tmp_path / "site") as writer, writer.workshop() as folder:
        assert list((tmp_path / "site/.incoming").iterdir()) == [folder]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.needs("setpriv")
@pytest.mark.root
def test_without_root_nothing_is_sorted_and_one_line_says_so(place: Place, tmp_path: Path) -> None:
    trace = write_trace(place, "rootfs.squashfs 0 5")
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o755)
    done = subprocess.run(
        ("setpriv", "--reuid=65534", "--clear-groups", *place.words, "--trace", trace, "--sort"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "sorting an image needs root" in done.stderr) == (63, True), done.stderr
    assert not place.site.exists()
