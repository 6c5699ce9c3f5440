"""How much an image takes once it is unpacked: told to the nodes, so that they can count their RAM beforehand.

A squashfs is mounted and takes nothing more. Of tar and cpio images the bytes of the archive itself are counted, which
is about what its files take. zstd(1) is asked for its own format. It will not write anything.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import IO

from swarmboot.errors import ReleaseError, ToolMissingError

MOUNTED = frozenset({"squashfs", "linux", "cpio"})
_CHUNK_BYTES = 1 << 20


def unpacked_bytes(path: Path, kind: str, *, label: str) -> int:
    """Return the bytes of an archive that is compressed as `kind` says, 0 for what is not unpacked.

    Raises ReleaseError if it cannot be, ToolMissingError without zstd.
    """
    if kind in MOUNTED:
        return 0
    try:
        return _count_gz(path) if kind.endswith(".gz") else _count_zst(path)
    except (OSError, EOFError, zlib.error) as error:
        raise ReleaseError(f"{label} cannot be unpacked", found=str(error), hint="pack it again") from error


def _count(file: IO[bytes]) -> int:
    count = 0
    while chunk := file.read(_CHUNK_BYTES):
        count += len(chunk)
    return count


def _count_gz(path: Path) -> int:
    with gzip.open(path, "rb") as file:
        return _count(file)  # type: ignore[arg-type]


def _count_zst(path: Path) -> int:
    if not shutil.which("zstd"):
        raise ToolMissingError("zstd is not installed", hint="install the package zstd")
    command = ("zstd", "-dcq", "--long=31", str(path))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        count = _count(process.stdout)
        words = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise OSError(words.rpartition(":")[2].strip() or f"zstd ended with {process.returncode}")
    return count
