"""What is compressed in an image, and how much it is: told to the nodes, so that they can count their RAM beforehand.

A squashfs is mounted and takes nothing more. Of tar and cpio images the bytes of the archive itself are counted, which
is about what its files take. zstd(1) is asked for its own format. It will not write anything.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from swarmboot.errors import ReleaseError, ToolMissingError
from swarmboot.text.units import format_size

MOUNTED = frozenset({"squashfs", "linux", "cpio"})
UNPACKED_MAX_BYTES = 1 << 38
_CHUNK_BYTES = 1 << 20


class Counted:
    """A file to read forward that counts its bytes; `label` is its name for a person."""

    def __init__(self, file: IO[bytes], label: str) -> None:
        self._file = file
        self._label = label
        self.count_bytes = 0

    def read(self, size_bytes: int) -> bytes:
        """Return so many bytes, fewer at the end; raise ReleaseError beyond UNPACKED_MAX_BYTES in all."""
        data = self._file.read(size_bytes)
        self.count_bytes += len(data)
        if self.count_bytes > UNPACKED_MAX_BYTES:
            raise ReleaseError(
                f"{self._label} is too large unpacked",
                expected=f"at most {format_size(UNPACKED_MAX_BYTES)}, which a node has to hold in RAM",
                hint="publish a squashfs, which is mounted",
            )
        return data

    def drain(self) -> None:
        """Read what is left."""
        while self.read(_CHUNK_BYTES):
            pass


@contextmanager
def unpacking(path: Path, kind: str, *, label: str) -> Iterator[Counted]:
    """Open what is compressed in a file as `kind` says, which is to be read to its end.

    Raises ReleaseError if it cannot be unpacked, ToolMissingError without zstd.
    """
    try:
        if kind.endswith(".gz"):
            with gzip.open(path, "rb") as file:
                yield Counted(file, label)  # type: ignore[arg-type]
        else:
            with _zstd(path) as file:
                yield Counted(file, label)
    except (OSError, EOFError, zlib.error) as error:
        raise ReleaseError(f"{label} cannot be unpacked", found=str(error), hint="pack it again") from error


@contextmanager
def _zstd(path: Path) -> Iterator[IO[bytes]]:
    if not shutil.which("zstd"):
        raise ToolMissingError("zstd is not installed", hint="install the package zstd")
    command = ("zstd", "-dcq", "--long=31", str(path))
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
        ExitStack() as on_failure,
    ):
        on_failure.callback(process.kill)
        assert process.stdout is not None
        assert process.stderr is not None
        yield process.stdout
        words = process.stderr.read().decode(errors="replace").strip()
        on_failure.pop_all()
    if process.returncode:
        raise OSError(words.rpartition(":")[2].strip() or f"zstd ended with {process.returncode}")


def unpacked_bytes(path: Path, kind: str, *, label: str) -> int:
    """Return the bytes of an archive that is compressed as `kind` says, 0 for what is not unpacked.

    Raises as `unpacking` does.
    """
    if kind in MOUNTED:
        return 0
    with unpacking(path, kind, label=label) as file:
        file.drain()
    return file.count_bytes
