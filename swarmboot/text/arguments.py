"""A kernel command line as the kernel takes it apart: lib/cmdline.c, next_arg(), and kernel/params.c, parse_args().

Double quotes keep spaces; they may stand around a whole argument or around its value and are taken off there, and are
kept anywhere else. A quote that is not closed runs to the end. What comes after `--` is for the init of the root.
initramfs-hook/arguments.sh has the same in sh, `swarmboot_next_argument`, and a test holds both to each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SPACE = " \t\n\v\f\r"
_WORD = re.compile(rf'(?:[^{_SPACE}"]|"[^"]*(?:"|\Z))+')


def kernel_arguments(cmdline: str) -> Iterator[tuple[str, str | None]]:
    """Yield each argument's name and value, in order; the value is None where there is no `=`."""
    for word in _WORD.findall(cmdline):
        name, value = _argument(word)
        if name == "--" and value is None:
            return
        yield name, value


def _argument(word: str) -> tuple[str, str | None]:
    is_quoted = word.startswith('"')
    word = word[1:] if is_quoted else word
    first, rest = word[:1], word[1:]  # an argument that begins with = has no name there, see next_arg()
    name, equals, value = rest.partition("=")
    is_quoted |= value.startswith('"')
    value = value.removeprefix('"')
    if is_quoted and equals:
        return first + name, value.removesuffix('"')
    if is_quoted:
        return (first + name).removesuffix('"'), None
    return first + name, value if equals else None


def last_value(cmdline: str, name: str) -> str | None:
    """Return the value that counts of an argument: the last one that has one."""
    return next((value for each, value in reversed(list(kernel_arguments(cmdline))) if each == name and value), None)
