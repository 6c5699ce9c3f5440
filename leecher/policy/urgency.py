"""In what order a node asks its neighbours for pieces, by libtorrent's numbers. Pure.

Of two pieces libtorrent asks for the rarer one first. A higher number only makes a piece look rarer: with 6 one that
four neighbours have looks like one that two have with 4, and one that a single neighbour has comes before both. Just 7
goes before rarity. In a rack whose server sends new pieces all the time there are always rarer ones, and a node that
came late would have what a boot reads last of all (docs/decisions/0056).
"""

from __future__ import annotations

from enum import IntEnum

from swarmboot.release.piece_set import Pieces


class Urgency(IntEnum):
    """libtorrent's priority of a piece."""

    NEVER = 0
    LATER = 4
    FIRST = 7


def urgencies(count: int, *, first: Pieces, expected: Pieces) -> list[Urgency]:
    """Return the urgency of each of a torrent's pieces: those of `expected` come from elsewhere than neighbours."""
    wanted = (Urgency.FIRST if first >> index & 1 else Urgency.LATER for index in range(count))
    return [Urgency.NEVER if expected >> index & 1 else each for index, each in enumerate(wanted)]
