"""An initramfs is unpacked and packed again without a change that its machine could see."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from seeder.initramfs.tree import ALIGNMENT, Unpacked, unpack, write_archive

pytestmark = pytest.mark.needs("cpio", "zstd")


def cpio(folder: Path, *listed: str) -> bytes:
    """Return an archive of a folder's contents, or of what is listed alone, without the folders around it."""
    names = "".join(f"{name}\n" for name in listed or (path.relative_to(folder) for path in sorted(folder.rglob("*"))))
    command = ("cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0")
    return subprocess.run(command, cwd=folder, input=names.encode(), capture_output=True, check=True).stdout


def write_system(folder: Path) -> None:
    """Make a merged system with a link, linked files, an odd mode and a name with a dot."""
    (folder / "usr/lib").mkdir(parents=True)
    (folder / "lib").symlink_to("/usr/lib")
    (folder / "usr/lib/.hidden").write_text("hidden")
    (folder / "usr/lib/one").write_bytes(bytes(range(256)) * 300)
    os.link(folder / "usr/lib/one", folder / "usr/lib/two")
    (folder / "init").write_text("#!/bin/sh\n")
    (folder / "init").chmod(0o4751)


def listed(image: bytes, folder: Path) -> str:
    """Return what cpio(1) unpacks: type, mode, links, size, name and target of each."""
    folder.mkdir()
    subprocess.run(("cpio", "--quiet", "-idm"), cwd=folder, input=image, check=True)
    shown = subprocess.run(
        ("find", ".", "-printf", r"%y %m %n %s %Ts %p %l\n"), cwd=folder, capture_output=True, text=True
    )
    return "\n".join(sorted(line for line in shown.stdout.splitlines() if line.split()[5] not in (".", "./lib/late")))


def test_what_is_packed_again_is_what_was_unpacked(tmp_path: Path) -> None:
    system = tmp_path / "system"
    system.mkdir()
    write_system(system)
    image = tmp_path / "image"
    image.write_bytes(cpio(system))
    (tmp_path / "work").mkdir()
    unpacked = unpack(image, tmp_path / "work")
    again = io.BytesIO()
    write_archive(again, unpacked, unpacked.entries)
    assert listed(again.getvalue(), tmp_path / "after") == listed(image.read_bytes(), tmp_path / "before")
    assert len(again.getvalue()) % ALIGNMENT == 0


def packed_again(image: bytes, folder: Path) -> tuple[Unpacked, Path]:
    """Return what is unpacked of an image, and where cpio(1) has unpacked it from what is packed of that."""
    (folder / "image").write_bytes(image)
    (folder / "work").mkdir()
    unpacked = unpack(folder / "image", folder / "work")
    again = io.BytesIO()
    write_archive(again, unpacked, unpacked.entries)
    listed(again.getvalue(), folder / "again")
    return unpacked, folder / "again"


def test_archives_become_one_through_links_and_what_comes_early_is_kept_apart(tmp_path: Path) -> None:
    system, late, early = tmp_path / "system", tmp_path / "late", tmp_path / "early"
    for folder in (system, late / "lib", early / "kernel/x86/microcode"):
        folder.mkdir(parents=True)
    write_system(system)
    (late / "lib/one").write_text("a later one")
    (early / "kernel/x86/microcode/AuthenticAMD.bin").write_bytes(b"microcode")
    packed = subprocess.run(("zstd", "-qc"), input=cpio(system), capture_output=True, check=True).stdout
    packed += bytes(-len(packed) % 4)
    unpacked, after = packed_again(cpio(early) + packed + cpio(late, "lib/one"), tmp_path)
    assert (after / "lib").readlink() == Path("/usr/lib")
    assert (after / "usr/lib/one").read_text() == "a later one"
    assert (after / "usr/lib/two").samefile(after / "usr/lib/one")
    assert not Path("/usr/lib/one").exists()
    assert sorted(unpacked.early) == [
        "kernel", "kernel/x86", "kernel/x86/microcode", "kernel/x86/microcode/AuthenticAMD.bin",
    ]  # fmt: skip
    first = io.BytesIO()
    write_archive(first, unpacked, unpacked.early, is_early=True)
    assert first.getvalue()[110:117] == b"kernel\0"


def test_a_later_folder_takes_a_links_place_as_in_the_kernel(tmp_path: Path) -> None:
    system, late = tmp_path / "system", tmp_path / "late"
    (late / "lib").mkdir(parents=True)
    system.mkdir()
    write_system(system)
    (late / "lib/late").write_text("a folder's own")
    _, after = packed_again(cpio(system) + cpio(late), tmp_path)
    assert not (after / "lib").is_symlink()
    assert [path.name for path in (after / "lib").iterdir()] == ["late"]
    assert (after / "usr/lib/one").stat().st_size == 256 * 300


def test_a_later_link_takes_the_place_of_a_file_and_of_an_empty_folder_and_of_no_full_one(tmp_path: Path) -> None:
    system, late = tmp_path / "system", tmp_path / "late"
    late.mkdir()
    for name in ("empty", "full"):
        (system / name).mkdir(parents=True)
        (late / name).symlink_to("/etc")
    for name in ("full/file", "file"):
        (system / name).write_text(name)
    (late / "file").symlink_to("full")
    _, after = packed_again(cpio(system) + cpio(late), tmp_path)
    assert ((after / "empty").readlink(), (after / "file").readlink()) == (Path("/etc"), Path("full"))
    assert (after / "full/file").read_text() == "full/file"


def test_what_stands_below_a_file_or_a_circle_is_passed_over_as_in_the_kernel(tmp_path: Path) -> None:
    system, late = tmp_path / "system", tmp_path / "late"
    for name in ("file", "circle"):
        (late / name).mkdir(parents=True)
        (late / name / "below").write_text("below")
    system.mkdir()
    (system / "file").write_text("file")
    (system / "circle").symlink_to("circle")
    _, after = packed_again(cpio(system) + cpio(late, "file/below", "circle/below"), tmp_path)
    assert (after / "file").read_text() == "file"
    assert (after / "circle").is_symlink()


@pytest.mark.parametrize("name", ["out", "kernel"])
def test_a_name_that_leads_out_of_the_folder_stays_in_it(tmp_path: Path, name: str) -> None:
    system, inner, outside = tmp_path / "system", tmp_path / "inner", tmp_path / "outside"
    for folder in (system, outside, inner / name / "escaped"):
        folder.mkdir(parents=True)
    (system / name).symlink_to(outside if name == "kernel" else "../../../..")
    unpacked, _ = packed_again(cpio(system) + cpio(inner, f"{name}/escaped"), tmp_path)
    assert not [*outside.iterdir()]
    assert "escaped" in unpacked.entries or unpacked.early
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "image", "inner", "outside", "system", "work"]
