"""Whom to ask for a release, and when enough has been heard to take the newest that is proved.

What a neighbour says of itself is a claim; what it then serves is proved by signatures, and compared with the claim.
Claims decide only who is asked first, and every other one is asked by lot, so that liars who claim the most cannot keep
others from being asked. Pure: facts in, told when; it says whom to ask and whether to settle (docs/decisions/0032).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from swarmboot.backoff import doubled_s
from swarmboot.ids import Sequence

Address = tuple[str, int]
"""A neighbour's address and port."""

Standing = tuple[int, Sequence]
"""Which of two releases is the newer: rotations of keys, and number (`trusted_release.Release.standing`)."""

AT_ONCE = 32
OF_AN_ADDRESS = 2
YOUNG_S = 1.0
"""So long an attempt may take before another one, that waits for it, takes its place."""
GATHER_S = 0.3
HIGHER_S = 3.0
SERVER_S = 10.0
_AGAIN_S, _AGAIN_MAX_S = 1.0, 30.0


@dataclass(slots=True)
class _Neighbour:
    most: Sequence
    least: Sequence
    asked_s: float | None = None
    again_s: float = 0.0
    failures: int = 0
    is_refused: bool = False
    served: Sequence | None = None
    standing: Standing | None = None


class Claims:
    """What has been heard, asked and proved during one acquisition."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._neighbours: dict[Address, _Neighbour] = {}
        self._asked = 0
        self._heard_s = math.inf
        self._proved_s = math.inf
        self._best: tuple[Standing, Address] | None = None
        self._has_server_failed = False
        self._reached_s = math.inf
        self._pointed: Standing | None = None

    def heard(self, address: Address, claim: Sequence, *, now_s: float) -> None:
        """Occurs when a neighbour, or somebody in its name, says that it serves a manifest of this number.

        The most that was said decides who is asked and waited for, the least whether it lied: a datagram proves nothing
        of who sent it. Whoever was refused for too little is asked again when it says as little as it served.
        """
        self._heard_s = min(self._heard_s, now_s)
        known = self._neighbours.setdefault(address, _Neighbour(claim, claim))
        known.most, known.least = max(known.most, claim), min(known.least, claim)
        if known.served is not None and known.least <= known.served:
            known.is_refused, known.served = False, None

    def is_too_little(self, address: Address, number: Sequence) -> bool:
        """Return whether a neighbour serves less than it said, and refuse it then."""
        known = self._neighbours[address]
        if number >= known.least:
            return False
        known.served = number
        self.refused(address)
        return True

    def next_to_ask(self, *, now_s: float) -> Address | None:
        """Return a neighbour to ask now, and count it as asked; None if there is none or no room."""
        waiting = self._waiting(now_s)
        if not waiting or sum(each.asked_s is not None for each in self._neighbours.values()) >= AT_ONCE:
            return None
        self._asked += 1
        self._random.shuffle(waiting)
        address = max(waiting, key=lambda address: self._neighbours[address].most) if self._asked % 2 else waiting[0]
        self._neighbours[address].asked_s = now_s
        return address

    def _waiting(self, now_s: float) -> list[Address]:
        busy = [address[0] for address, each in self._neighbours.items() if each.asked_s is not None]
        return [
            address
            for address, each in self._neighbours.items()
            if not each.is_refused and each.standing is None and each.asked_s is None and each.again_s <= now_s
            if busy.count(address[0]) < OF_AN_ADDRESS
        ]

    def overtaken(self, *, now_s: float) -> Address | None:
        """Return whose attempt is to be ended, because others wait and it has had its time."""
        asked = {address: each.asked_s for address, each in self._neighbours.items() if each.asked_s is not None}
        if len(asked) < AT_ONCE or not self._waiting(now_s):
            return None
        address = min(asked, key=lambda address: asked[address])
        return address if now_s - asked[address] >= YOUNG_S else None

    def proved(self, address: Address, standing: Standing, *, now_s: float) -> None:
        """Occurs when a neighbour has served a release that the fleet's keys signed."""
        known = self._neighbours[address]
        known.asked_s, known.standing = None, standing
        self._proved_s = min(self._proved_s, now_s)
        if self._best is None or standing > self._best[0]:
            self._best = standing, address

    def failed(self, address: Address, *, now_s: float) -> None:
        """Occurs when a neighbour did not answer; it is asked again later."""
        known = self._neighbours[address]
        known.asked_s = None
        known.failures += 1
        known.again_s = now_s + doubled_s(_AGAIN_S, _AGAIN_MAX_S, known.failures)

    def refused(self, address: Address) -> None:
        """Occurs when a neighbour has served what nobody signed, or less than it claimed: it is not asked again."""
        known = self._neighbours[address]
        known.asked_s, known.is_refused, known.standing = None, True, None
        others = [(each.standing, other) for other, each in self._neighbours.items() if each.standing is not None]
        self._best = max(others, default=None)

    def set_aside(self, standing: Standing, *, now_s: float) -> None:
        """Occurs when a release was proved whose torrents nobody brings: it counts no more until it is proved again."""
        for address, each in self._neighbours.items():
            if each.standing == standing:
                each.standing = None
                self.failed(address, now_s=now_s)
        others = [(each.standing, address) for address, each in self._neighbours.items() if each.standing is not None]
        self._best = max(others, default=None)

    def server_reached(self, *, now_s: float) -> None:
        """Occurs when the server has taken a connection."""
        self._reached_s = min(self._reached_s, now_s)

    def server_failed(self) -> None:
        """Occurs when the server has given an answer that is none, or none in time."""
        self._has_server_failed = True

    def pointed(self, standing: Standing) -> None:
        """Occurs when the server has shown which release is the newest; the release itself is not there yet."""
        self._pointed = standing

    def good(self) -> list[Address]:
        """Return who may have documents, those who have proved something first, otherwise by lot."""
        addresses = [address for address, each in self._neighbours.items() if not each.is_refused]
        self._random.shuffle(addresses)
        return sorted(addresses, key=lambda address: self._neighbours[address].standing is None)

    def best(self) -> tuple[Standing, Address] | None:
        """Return the newest release that a neighbour has proved, and which neighbour."""
        return self._best

    def settles_s(self, *, now_s: float) -> float:
        """Return when the best of what is proved may be taken if nothing else happens: now or earlier for at once."""
        if self._best is None:
            return math.inf
        if self._pointed is not None:
            return now_s if self._best[0] >= self._pointed else self._proved_s + SERVER_S
        claims_more = any(
            each.most > self._best[0][1] and not each.is_refused and each.standing is None
            for each in self._neighbours.values()
        )
        wait_s = [self._heard_s + GATHER_S, self._proved_s + HIGHER_S if claims_more else self._proved_s]
        if self._reached_s < math.inf and not self._has_server_failed:
            wait_s.append(self._reached_s + SERVER_S)
        return max(wait_s)
