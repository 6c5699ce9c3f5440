"""A squashfs of all that a root can hold, and what is in it. Devices, owners and capabilities need root."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
from pathlib import Path
from random import Random

BLOCK_BYTES = 1 << 16
_CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
"""cap_net_bind_service, permitted and effective (linux/capability.h, VFS_CAP_REVISION_2)."""


def grow_tree(tree: Path, *, files: int = 55) -> list[str]:
    """Fill a folder with what a root can hold; return the paths of ordinary files, each of bytes of its own."""
    random = Random(5)
    (tree / "usr/lib/folder with blanks").mkdir(parents=True)
    names = [f"usr/lib/{number:03}" for number in range(files)] + ["usr/lib/folder with blanks/a #b\\c"]
    for name in names:
        size_bytes = random.choice((300, 9_000, BLOCK_BYTES, 70_000))
        (tree / name).write_bytes(f"<{name}>".encode() + random.randbytes(size_bytes))
    (tree / "lib").symlink_to("usr/lib")
    (tree / "usr/lib/libone.so").symlink_to("001")
    os.link(tree / names[2], tree / "usr/second name")
    (tree / "usr/same").write_bytes((tree / names[3]).read_bytes())
    (tree / "empty").touch()
    with (tree / "sparse").open("wb") as file:
        file.seek(10 * BLOCK_BYTES)
        file.write(b"end")
    (tree / names[4]).chmod(0o4755)
    os.mkfifo(tree / "pipe")
    if os.geteuid() == 0:
        os.chown(tree / names[5], 1234, 4321)
        os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.setxattr(tree / names[6], "security.capability", _CAPABILITY)
        os.setxattr(tree / names[6], "trusted.note", b"more than one")
    for at, path in enumerate(sorted(tree.rglob("*"))):
        os.utime(path, (at, 1_600_000_000 + at), follow_symlinks=False)
    return names


def pack_tree(tree: Path, image: Path, *options: str) -> None:
    """Pack a folder as an image of blocks of BLOCK_BYTES."""
    usual = ("-b", str(BLOCK_BYTES), "-noappend", "-quiet", "-no-progress")
    subprocess.run(("mksquashfs", tree, image, *usual, *options), check=True, capture_output=True)
