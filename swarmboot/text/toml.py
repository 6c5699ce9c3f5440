"""TOML that people write, read within bounds: what tomllib takes without end, or ends with a traceback, is refused.

tomllib (TOML 1.0) reads integers of any length, infinities, and tables as deep as the interpreter can recurse, and its
time grows with the square of a key's parts. It reads no file.
"""

from __future__ import annotations

import math
import re
import tomllib
from typing import Any

_MAX_DEPTH = 16
_MAX_INTEGER = 2**63


class TomlError(ValueError):
    """Occurs when a text is no TOML, or holds what no setting can be; the text of the error says what."""


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables in a text.

    Raises TomlError also for whole numbers of more than 64 bits, numbers that are not finite, and nesting deeper than
    16.
    """
    if any(line.count(".") > _MAX_DEPTH for line in map(_before_value, text.splitlines())):
        raise TomlError(f"nested deeper than {_MAX_DEPTH}")
    try:
        value = tomllib.loads(text)
    except RecursionError as error:
        raise TomlError(f"nested deeper than {_MAX_DEPTH}") from error
    except ValueError as error:  # tomllib.TOMLDecodeError is one, and so is an integer of too many digits
        raise TomlError(str(error)[:200]) from error
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        for scalar in level:
            _check(scalar)
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise TomlError(f"nested deeper than {_MAX_DEPTH}")
    return value


def _before_value(line: str) -> str:
    """Return what may be a key on a line: what stands before a value, a quotation or a comment."""
    return re.split("[=\"'#]", line, maxsplit=1)[0]


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _check(value: Any) -> None:
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise TomlError("a whole number of more than 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise TomlError("a number that is not finite")
