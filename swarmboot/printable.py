"""Text for a terminal or a log, whoever wrote it: one line on which every character is one that can be seen.

What is not printable (Unicode's categories C and Z but for the space: control characters, line ends, terminal escapes,
marks that turn the direction of writing, half surrogates of names that are no UTF-8) is written as an escape. Pure; it
imports nothing.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return `text` with everything escaped that is not printable; it can be encoded as UTF-8."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
