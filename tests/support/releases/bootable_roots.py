"""Roots and releases that could be booted, made by the real tools from this machine's own programs, for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from seeder.program import parse_program

PROGRAM = Path("/usr/bin/true")


def loader() -> str:
    """Return what this machine's programs name as their dynamic loader."""
    program = parse_program(PROGRAM.read_bytes())
    assert program is not None
    assert program.interpreter
    return program.interpreter


def build_root(folder: Path) -> Path:
    """Return a merged root with an init, and the dynamic loader that it names."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (folder / "usr" / name).mkdir(parents=True)
        (folder / name).symlink_to(f"usr/{name}")
    for name in ("etc", "var/lib", "run"):
        (folder / name).mkdir(parents=True)
    (folder / "usr/lib/systemd").mkdir()
    shutil.copy(PROGRAM, folder / "usr/lib/systemd/systemd")
    (folder / "usr/sbin/init").symlink_to("../lib/systemd/systemd")
    shutil.copy(os.path.realpath(loader()), folder / loader().lstrip("/"))
    return folder


def squash(folder: Path, image: Path) -> Path:
    """Pack a folder as a squashfs, owned by root."""
    command = ("mksquashfs", folder, image, "-quiet", "-no-progress", "-noappend", "-all-root")
    environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    subprocess.run(command, check=True, capture_output=True, timeout=60, env=environment)
    return image


def tar(folder: Path, image: Path) -> Path:
    """Pack a folder as tar(1) does, by the compression that the name says, with all extended attributes."""
    packer = "zstd -q" if image.suffix == ".zst" else "gzip -n"
    attributes = ("--xattrs", "--xattrs-include=*")
    command = ("tar", "-C", folder, "-I", packer, "--owner=0", "--group=0", *attributes, "-cf", image, ".")
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return image


def cpio(folder: Path) -> bytes:
    """Return a folder as cpio(1) packs it for an initramfs."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    command = ("cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0")
    done = subprocess.run(
        command, input="\n".join(names).encode(), cwd=folder, check=True, capture_output=True, timeout=60
    )
    return done.stdout
