"""`env/*.env`: settings for the nodes as KEY=value lines, read as data and never run by a shell.

A line is blank, a comment that starts with `#`, or `KEY=value`. Blanks around the value go; one pair of single or
double quotes around the whole of it goes too and keeps the blanks inside. Nothing else means anything: no `export`, no
expansion, no escapes, and a `#` after the value belongs to it. It reads no file.
"""

from __future__ import annotations

import re

from swarmboot.errors import ReleaseError

_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def parse_env(text: str, *, where: str, is_secret: bool = False) -> dict[str, str]:
    """Return the settings of one file, the last of a name winning; raise ReleaseError naming `where` and the line.

    What a line of a secret file says is not repeated.
    """
    settings: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.removesuffix("\r").strip(" \t")
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.match(stripped)
        value = _unquoted(match[2].strip(" \t")) if match else None
        if match is None or value is None or _CONTROL.search(value):
            raise ReleaseError(
                f"{where}:{number} is no setting",
                expected='KEY=value or KEY="a value"',
                found="" if is_secret else repr(stripped[:60]),
                hint="these files are data, not shell: no export, no $ and no line breaks in values",
            )
        settings[match[1]] = value
    return settings


def _unquoted(value: str) -> str | None:
    """Return the value without the quotes around it, or None if they do not match."""
    if not value or value[0] not in "'\"":
        return value
    quote = value[0]
    inner = value[1:-1]
    return inner if len(value) >= 2 and value[-1] == quote and quote not in inner else None
