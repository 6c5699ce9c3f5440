"""Where the hook's own files are: in the source tree or with the installed package. It will not change them."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from swarmboot.errors import ToolMissingError

_NAME = "initramfs-hook"


def hook_folder() -> Path:
    """Return the folder of the shell driver, its adapters and their data; raise ToolMissingError if it is not there."""
    beside = Path(__file__).resolve().parent.parent / _NAME
    shared = Path(sysconfig.get_path("data")) / "share/swarmboot" / _NAME
    for folder in (beside, shared):
        if (folder / "runtime.toml").is_file():
            return folder
    raise ToolMissingError(
        "the initramfs hook's files are not installed",
        expected=f"{_NAME} beside the package, or in {shared}",
        hint="install swarmboot again",
    )
