"""Whether this machine has what unpacks an image: zstd is a program of its own, which a runtime may lack."""

from __future__ import annotations

import os
from collections.abc import Iterable

from swarmboot.errors import ToolMissingError

_ZSTD = ".zst"


def check_unpackers(formats: Iterable[str]) -> None:
    """Raise ToolMissingError if an image of one of these formats, as in `tar.zst`, cannot be unpacked here."""
    if any(each.endswith(_ZSTD) for each in formats) and not is_there("zstd"):
        raise ToolMissingError(
            "this initramfs cannot unpack zstd",
            found="no program zstd in its runtime",
            hint="install zstd where it is built, run `swarmboot hook build-runtime` again, or pack with gzip",
        )


def is_there(program: str) -> bool:
    """Return whether a program is on the path."""
    folders = os.get_exec_path()
    return any(os.access(f"{folder}/{program}", os.X_OK) for folder in folders)
