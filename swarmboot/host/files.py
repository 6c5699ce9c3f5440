"""Files that are there whole or not at all, whoever reads them meanwhile and whenever the power fails.

A file is written under another name in its folder, flushed to disk and renamed to its own (rename(2)); the folder is
flushed after it. It imports nothing that a node's start would wait for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def named_as(path: Path) -> Iterator[None]:
    """Have an OSError of what is written beside a file, as `.NAME.*`, to be renamed to it, name that file.

    It is what was asked for. Errors of a full disk name none by themselves (write(2)); those of other files stay.
    """
    try:
        yield
    except OSError as error:
        parts = Path(os.fsdecode(error.filename)).parts if isinstance(error.filename, (str, bytes)) else ()
        if error.filename is None or any(part.startswith(f".{path.name}.") for part in parts):
            error.filename, error.filename2 = str(path), None
        raise


def write_whole(path: Path, data: bytes, *, mode: int, is_flushed: bool = True) -> None:
    """Write a file of this mode, replacing what was there, a link too; raise OSError and leave nothing otherwise.

    Until it is in its place its owner alone can read it. Without `is_flushed` it is whole for readers, but need not
    outlive a power cut. The error names `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    with named_as(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                move_into_place(file, temporary, path, mode=mode, is_flushed=is_flushed)
        finally:
            temporary.unlink(missing_ok=True)


def move_into_place(file: BinaryIO, temporary: Path, target: Path, *, mode: int, is_flushed: bool = True) -> None:
    """Give an open file that has been written whole its mode and its name, which must be on the same file system."""
    file.flush()
    os.fchmod(file.fileno(), mode)
    if is_flushed:
        os.fsync(file.fileno())
    temporary.replace(target)
    if is_flushed:
        _flush_folder(target.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
