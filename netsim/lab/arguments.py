"""The types of the lab's arguments on its command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netsim.lab.rack.plan import parse_casualty
from swarmboot.units import parse_duration, parse_rate, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable


class Parsed(click.ParamType[Any]):
    """A click type that is one of the functions of `swarmboot.units`; their errors keep their exit status."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:  # noqa: ARG002 - click's signature
        """Return the parsed value; raise what the parser raises."""
        return self._parse(value) if isinstance(value, str) else value


RATE = Parsed("rate", parse_rate)
SIZE = Parsed("size", parse_size)
DURATION = Parsed("duration", parse_duration)
CASUALTY = Parsed("node:seconds", parse_casualty)
