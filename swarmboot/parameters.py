"""Command-line options whose values are quantities or addresses: parsed in one place, refused by the option's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from swarmboot.errors import MalformedSettingError
from swarmboot.text.addresses import read_server
from swarmboot.text.units import parse_duration, parse_rate, parse_size

if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # Debian 12's click (8.1.3) has no parameters for it at run time


class Parsed(_Type):
    """What `parse` returns of an option's text; with `least`, no less than that, which `span` says in words.

    Raises MalformedSettingError, which names the option, for whatever `parse` refuses and for less.
    """

    def __init__(self, name: str, parse: Callable[[str], Any], *, least: float | None = None, span: str = "") -> None:
        self.name = name
        self._parse, self._least, self._span = parse, least, span

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ARG002
        """Return the value of a text; what is none, as a default, is returned as it is."""
        if not isinstance(value, str):
            return value
        option = param.opts[0] if param is not None else self.name
        try:
            parsed = self._parse(value)
        except MalformedSettingError as error:
            words = f"{option} is malformed"
            raise MalformedSettingError(words, expected=error.expected, found=error.found, hint=error.hint) from error
        if self._least is not None and parsed < self._least:
            raise MalformedSettingError(f"{option} is out of range", expected=self._span, found=value)
        return parsed


JSON = click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
"""For a verb that says facts: the same for programs, alone on standard output. The verb takes `is_json`."""

RATE = Parsed("rate", parse_rate)
"""Bytes per second."""

SIZE = Parsed("size", parse_size)
"""Bytes."""

DURATION = Parsed("duration", parse_duration)
"""Seconds."""

SERVER = Parsed("URL", read_server)
"""The address of a server or a mirror, without a slash at its end."""


def duration(least_s: float, span: str) -> Parsed:
    """Return the type of an option in seconds, no less than `least_s`, which `span` says in words."""
    return Parsed("duration", parse_duration, least=least_s, span=span)


def size(least_bytes: int, span: str) -> Parsed:
    """Return the type of an option in bytes, no less than `least_bytes`, which `span` says in words."""
    return Parsed("size", parse_size, least=least_bytes, span=span)
