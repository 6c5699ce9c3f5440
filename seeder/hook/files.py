"""Where the hook's own files are, in the source tree or with the installed package, and how a file is put in place."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from swarmboot.errors import ToolMissingError
from swarmboot.host.files import write_whole

_NAME = "initramfs-hook"


def hook_folder() -> Path:
    """Return the folder of the shell driver, its adapters and their data; raise ToolMissingError if it is not there."""
    beside = Path(__file__).resolve().parent.parent.parent / _NAME
    prefixes = (sysconfig.get_path("data"), sysconfig.get_path("data", "posix_user"), sys.prefix)
    folders = (beside, *(Path(prefix, "share/swarmboot", _NAME) for prefix in prefixes))
    for folder in folders:
        if (folder / "runtime.toml").is_file():
            return folder
    raise ToolMissingError(
        "the initramfs hook's files are not installed",
        expected=f"{_NAME} beside the package, or in {folders[-1]}",
        hint="install the package swarmboot-initramfs, or swarmboot again with pip",
    )


def place(path: Path, data: bytes, *, mode: int) -> None:
    """Write a whole file of this mode or nothing, never through a link; one that is so already stays untouched."""
    if not path.is_symlink() and path.is_file() and path.stat().st_mode & 0o7777 == mode and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data, mode=mode)
