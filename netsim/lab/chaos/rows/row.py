"""One row of the chaos table, as a value: its name, what it does in one sentence, and the function that plays it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsim.lab.chaos.rack import Rack


@dataclass(frozen=True, slots=True)
class Row:
    """A fault, its schedule, and who is left to boot from.

    `play` starts the seeder and the nodes, does its worst, and returns when nothing more is to come. `guests` is how
    many places it needs besides the nodes'; `releases` are those that a node may rightly end with.
    """

    name: str
    says: str
    play: Callable[[Rack], None]
    guests: int = 0
    has_mirror: bool = False
    releases: tuple[str, ...] = ("current",)
