"""The files of a release that need only mksquashfs or nothing at all: squashfs images, the sample plugin, settings.

No root is needed for any of them. It will not fetch anything.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from swarmboot.errors import LabError
from swarmboot.host.programs import run_program

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SQUASHFS_BOUND_S = 900
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_EPOCH = "1686355200"
"""2023-06-10, the day of Debian 12: a file made later gets this time, so that a build made twice is one build."""


def missing_programs(programs: Iterable[str]) -> list[str]:
    """Return the programs that are not installed."""
    return [program for program in programs if not shutil.which(program, path=_PATH)]


def reproducible_environment() -> dict[str, str]:
    """Return the environment for programs that honour SOURCE_DATE_EPOCH, the caller's own if it has one."""
    return {"SOURCE_DATE_EPOCH": _EPOCH, **os.environ, "PATH": _PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def make_squashfs(tree: Path, image: Path, *extra: str, level: int = 9) -> None:
    """Pack a folder into a squashfs, zstd at `level` from 1 to 22; raise LabError if mksquashfs fails."""
    command = (
        "mksquashfs", str(tree), str(image), "-comp", "zstd", "-Xcompression-level", str(level), "-b", "256K",
        "-noappend", "-no-progress", "-quiet", *extra,
    )  # fmt: skip
    run_program(command, bound_s=_SQUASHFS_BOUND_S, failure=LabError, environment=reproducible_environment())


def write_plugin(release: Path, *, work: Path) -> None:
    """Write plugins/10-hello.squashfs: one program, one setting, and a whiteout that takes /etc/motd away."""
    tree = work / "hello"
    for name, mode, text in (
        ("usr/local/bin/hello", 0o755, '#!/bin/sh\n. /etc/hello.conf\necho "hello from $(uname -n), $HELLO"\n'),
        ("etc/hello.conf", 0o644, 'HELLO="booted by a rack"\n'),
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
        (tree / name).chmod(mode)
    (release / "plugins").mkdir()
    whiteout = ("-p", "etc/motd c 600 0 0 0 0")
    make_squashfs(tree, release / "plugins" / "10-hello.squashfs", "-all-root", *whiteout)


def write_settings(release: Path, *, name: str) -> None:
    """Write release.toml and env/site.env."""
    (release / "release.toml").write_text(f'name = "{name}"\ncmdline = "console=tty0 console=ttyS0,115200"\n')
    (release / "env").mkdir()
    (release / "env" / "site.env").write_text("# What every node gets in /etc/environment.\nSITE=sample\nTZ=UTC\n")
