"""An initramfs is unpacked and packed again without a change that its machine could see."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from seeder.initramfs.tree import ALIGNMENT, unpack, write_archive

pytestmark = pytest.mark.needs("cpio", "zstd")


def cpio(folder: Path) -> bytes:
    names = "".join(f"{path.relative_to(folder)}\n" for path in sorted(folder.rglob("*")))
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


def test_archives_become_one_through_links_and_what_comes_early_is_kept_apart(tmp_path: Path) -> None:
    system, late, early = tmp_path / "system", tmp_path / "late", tmp_path / "early"
    for folder in (system, late / "lib", early / "kernel/x86/microcode"):
        folder.mkdir(parents=True)
    write_system(system)
    (late / "lib/one").write_text("a later one")
    (early / "kernel/x86/microcode/AuthenticAMD.bin").write_bytes(b"microcode")
    packed = subprocess.run(("zstd", "-qc"), input=cpio(system), capture_output=True, check=True).stdout
    packed += bytes(-len(packed) % 4)
    image = tmp_path / "image"
    image.write_bytes(cpio(early) + packed + cpio(late))
    (tmp_path / "work").mkdir()
    unpacked = unpack(image, tmp_path / "work")
    assert unpacked.path("usr/lib/one").read_text() == "a later one"
    assert "lib/one" not in unpacked.entries
    assert not (Path("/usr/lib/one")).exists()
    assert sorted(unpacked.early) == [
        "kernel", "kernel/x86", "kernel/x86/microcode", "kernel/x86/microcode/AuthenticAMD.bin",
    ]  # fmt: skip
    first = io.BytesIO()
    write_archive(first, unpacked, unpacked.early, is_early=True)
    assert first.getvalue()[110:117] == b"kernel\0"


def test_a_name_that_leads_out_of_the_folder_is_refused_or_stays_in_it(tmp_path: Path) -> None:
    system = tmp_path / "system"
    system.mkdir()
    (system / "out").symlink_to("../../../..")
    image = tmp_path / "image"
    inner = tmp_path / "inner"
    (inner / "out/escaped").mkdir(parents=True)
    image.write_bytes(cpio(system) + cpio(inner))
    (tmp_path / "work").mkdir()
    unpack(image, tmp_path / "work")
    assert (tmp_path / "work/tree/escaped").is_dir()
