"""Reads an initramfs: archives behind one another, compressed or not, as the kernel takes them.

Follows the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. Raises ReleaseError for one that the
kernel could not unpack, ToolMissingError where this machine lacks the program to look into it. It judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from seeder.initramfs.compressed import compression_of, decompressed
from swarmboot.archive import Entry, Stream, cpio_entries, one_cpio
from swarmboot.errors import ReleaseError

Watch = Callable[[IO[bytes], str], IO[bytes]]
"""What puts a bound on a file that is being unpacked."""


class _Part:
    """A part of a file, read forward."""

    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self._file = file
        self._left_bytes = size_bytes

    def read(self, size_bytes: int) -> bytes:
        data = self._file.read(min(size_bytes, self._left_bytes))
        self._left_bytes -= len(data)
        return data


def initramfs_entries(
    path: Path, *, label: str, start: int = 0, size_bytes: int | None = None, watched: Watch = lambda file, _: file
) -> Iterator[tuple[str, Entry]]:
    """Yield how it is compressed (empty if it is not) and every entry of the initramfs in a file, or in a part of it.

    An entry's data must be read before the next is asked for.
    """
    with path.open("rb") as file:
        file.seek(start)
        part = _Part(file, path.stat().st_size - start if size_bytes is None else size_bytes)
        stream = Stream(part, label)  # type: ignore[arg-type]
        while stream.pass_over_zeros():
            head = stream.some(6)
            stream.put_back(head)
            kind = compression_of(head)
            if kind:
                with decompressed(stream, kind, label=label) as inner:
                    for entry in cpio_entries(watched(inner, label), name=label):
                        yield kind, entry
            elif head.startswith(b"0707") and not stream.position_bytes % 4:
                for entry in one_cpio(stream, label):
                    yield "", entry
            else:
                raise ReleaseError(
                    f"{label} cannot be unpacked",
                    expected="cpio archives, each compressed or not, uncompressed ones at a multiple of four bytes",
                    found=f"{head.hex()} at byte {stream.position_bytes}",
                    hint="build it again",
                )
