"""Where a user's own files are: the XDG base directories, below the home directory unless the environment says more."""

from __future__ import annotations

import os
from pathlib import Path

from swarmboot.errors import MalformedSettingError


def user_folder(variable: str, below_home: str, *, option: str) -> Path:
    """Return the folder that an XDG variable names, else the one `below_home` (XDG Base Directory Specification).

    Raises MalformedSettingError, which names `option` as the way out, for a user without a home directory.
    """
    if given := os.environ.get(variable):
        return Path(given)
    try:
        return Path.home() / below_home
    except RuntimeError as error:
        raise MalformedSettingError(
            "this user has no home directory",
            expected=f"HOME, {variable} or an entry in /etc/passwd",
            found=f"none for user {os.geteuid()}",
            hint=f"give {option}",
        ) from error
