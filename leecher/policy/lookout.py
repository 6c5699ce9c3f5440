"""Which of the neighbours that answer on the LAN a node dials.

A node without a seeder dials all. One that the seeder answers but that comes through a proxy or NAT (`is_hidden` in its
handout) hears of the whole rack at once, and all of it would be a full mesh, in which a node has no blocks left to ask
for (docs/decisions/0024): it dials a few at random, and is dialled by others. Pure: a `Random` comes in.
"""

from __future__ import annotations

from random import Random

from swarmboot.wire.announce import Neighbour

DIALLED_MAX = 8
"""As many as a seeder names to a node of a rack (docs/decisions/0026)."""

HEARD_MAX = 1024


class Lookout:
    """The neighbours heard of, and those dialled."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._heard: dict[Neighbour, None] = {}
        self._dialled: set[Neighbour] = set()

    @property
    def has_enough(self) -> bool:
        """Return whether as many are dialled as a seeder would have named."""
        return len(self._dialled) >= DIALLED_MAX

    def hear(self, neighbour: Neighbour) -> None:
        """Take note of a neighbour that answers."""
        if len(self._heard) < HEARD_MAX:
            self._heard[neighbour] = None

    def choose(self, *, is_hidden: bool) -> tuple[Neighbour, ...]:
        """Return whom to dial now: all that were not dialled yet, or of many some at random."""
        fresh = [each for each in self._heard if each not in self._dialled]
        if is_hidden:
            fresh = self._random.sample(fresh, min(len(fresh), DIALLED_MAX - min(DIALLED_MAX, len(self._dialled))))
        self._dialled.update(fresh)
        return tuple(fresh)
