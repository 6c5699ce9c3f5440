"""How many connections the seeder keeps, whose go first when there is no room, and how long each may keep it waiting.

Every connection has a place in the crowd. While the seeder waits for its client (a handshake, a request's head, its
body, room for an answer, or the next request) the place has a deadline; while the seeder is at work it has none. When
the crowd is full, those that have waited longest of the address with most go first, so that no address keeps another
out; a rack of hundreds behind one address is far below its bound. IPv6 addresses count by their network of 64 bits,
as a host has all of it.

Facts in, decisions out: it is told the time, and `cut` ends a connection. It will not touch a socket.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from swarmboot.text.addresses import counted_as

CONNECTIONS_MAX = 16_384
DESCRIPTORS_MAX = 32_768
"""What `serve` asks of the system: a descriptor a connection, and as many again to spare."""

ROOM = 128
"""Descriptors kept for the site's files, each open once however many read it, and for everything else."""

_OF_ONE_ADDRESS = 4096
_PART = 8


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may keep the seeder waiting, in seconds.

    An answer may take `write_s` and what its bytes take at `least_bytes_per_s`, chunk by chunk.
    """

    handshake_s: float = 30.0
    head_s: float = 10.0
    body_s: float = 15.0
    idle_s: float = 120.0
    write_s: float = 20.0
    least_bytes_per_s: float = 4096.0


def connections_for(descriptors: int) -> int:
    """Return how many connections fit into a limit of that many descriptors."""
    return max(1, min(CONNECTIONS_MAX, max(descriptors - ROOM, descriptors // 2)))


class Place:
    """One connection's place: since when and until when the seeder waits for its client; `due_s` is infinite if not."""

    __slots__ = ("address", "cut", "due_s", "is_idle", "since_s")

    def __init__(self, address: str, cut: Callable[[], None], now_s: float) -> None:
        self.address = address
        self.cut = cut
        self.since_s = now_s
        self.due_s = math.inf
        self.is_idle = True

    def wait(self, now_s: float, most_s: float, *, is_idle: bool = False) -> None:
        """Take note that from now on the client is waited for, `most_s` at most."""
        self.since_s, self.due_s, self.is_idle = now_s, now_s + most_s, is_idle

    def work(self) -> None:
        """Take note that it is the seeder's turn."""
        self.due_s, self.is_idle = math.inf, False


class Crowd:
    """The places of all connections of one process."""

    def __init__(self, most: int = CONNECTIONS_MAX) -> None:
        self.most = most
        self.most_of_one = max(1, min(_OF_ONE_ADDRESS, most * 3 // 4))
        self.cut_off = 0
        self.is_stopping = False
        self._places: dict[str, dict[Place, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def enter(self, host: str, cut: Callable[[], None], *, now_s: float) -> Place | None:
        """Return a place for a new connection, others cut off if there is no room; None if it is to be refused."""
        address = counted_as(host)
        own = self._places.get(address, {})
        if len(own) >= self.most_of_one and not self._shed(own):
            return None
        if self._count >= self.most and not self._make_room(address):
            return None
        place = Place(address, cut, now_s)
        self._places.setdefault(address, {})[place] = None
        self._count += 1
        return place

    def leave(self, place: Place) -> None:
        """Take note that a connection has ended; one that was cut off has left already."""
        places = self._places.get(place.address)
        if places is None or place not in places:
            return
        del places[place]
        self._count -= 1
        if not places:
            del self._places[place.address]

    def expire(self, now_s: float) -> None:
        """Cut off whoever has kept the seeder waiting for too long."""
        for place in [each for places in self._places.values() for each in places if each.due_s <= now_s]:
            self._cut(place)

    def stop(self) -> None:
        """Cut off connections that no request uses, now and from now on."""
        self.is_stopping = True
        for place in [each for places in self._places.values() for each in places if each.is_idle]:
            self._cut(place)

    def _make_room(self, address: str) -> bool:
        """Cut off others for a newcomer: idle and slow ones of the biggest address, then whatever it has too many."""
        biggest = max(self._places.values(), key=len)
        if self._shed(biggest):
            return True
        if len(biggest) > len(self._places.get(address, {})) + 1:
            self._cut(next(iter(biggest)))
            return True
        return self._shed([each for places in self._places.values() for each in places])

    def _shed(self, places: Iterable[Place]) -> bool:
        """Cut off those waited for longest, an eighth so that a flood pays for the search; return whether some were."""
        waiting = [each for each in places if each.due_s < math.inf]
        count = max(1, min(len(waiting) // _PART, self.most // 32))
        for place in heapq.nsmallest(count, waiting, key=lambda each: each.since_s):
            self._cut(place)
        return bool(waiting)

    def _cut(self, place: Place) -> None:
        self.cut_off += 1
        self.leave(place)
        place.cut()
