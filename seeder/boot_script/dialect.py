"""What a loader's language must be able to say. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from seeder.boot_script.grammar import Mac, Source, Token
from seeder.boot_script.load import Load, Stage0
from seeder.boot_script.menu import Menu


@dataclass(frozen=True, slots=True)
class Dialect:
    """One loader's language: `entry(origin)`, `wait(origin, mac, ahead, wait_s, item)`, `refusal(origin, mac, reason)`.

    `item` is what was chosen in a menu, so that it need not be chosen again; after a refusal it may be.
    """

    entry: Callable[[Source], str]
    wait: Callable[[Source, Mac, int, int, Token | None], str]
    refusal: Callable[[Source, Mac, str], str]
    boot: Callable[[Stage0, Load], str]
    menu: Callable[[Menu], str]
