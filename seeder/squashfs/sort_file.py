"""What `mksquashfs -sort` is told. Pure: paths in, text out.

A line is a name and a number, the higher the earlier; a file without a line has 0. Files of one number are turned
around, so each has its own as long as there are enough: 16 bits, of which those above 0 come before what has none. A
blank ends a name, `#` begins a comment and a backslash takes the next character as it is (squashfs-tools' sort.c).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

HIGHEST = 32767
_LONGEST_BYTES = 16000
_SPECIAL = re.compile(rb"[\s\\#]")


def sort_lines(paths: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """Return the text for files in the order in which they are to lie, and those that have no line because none could
    name them: one with an end of line in its name, one that is called `*`, one that is too long.

    Where there are more files than numbers, neighbours share one.
    """
    named = [path for path in paths if _can_be_named(path)]
    missing = [path for path in paths if not _can_be_named(path)]
    share = -(-len(named) // HIGHEST) or 1
    lines = (b"%s %d\n" % (_SPECIAL.sub(rb"\\\g<0>", path), HIGHEST - at // share) for at, path in enumerate(named))
    return b"".join(lines), missing


def _can_be_named(path: bytes) -> bool:
    return b"\n" not in path and not path.endswith(b"/*") and path != b"*" and len(path) < _LONGEST_BYTES // 2
