"""Who is connected to a node's server, and who goes when it is full.

At most so many at once, and at most so many of one address. An honest client's request is there at once, so when there
is no room it is made: whoever has owed a request for longest goes, then whoever has been longest about taking a small
answer. Nobody is turned out who loads a kernel or an initramfs; their number has a bound of its own.
"""

from __future__ import annotations

import enum
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

MAX_AT_ONCE = 48
MAX_OF_AN_ADDRESS = 12
LOADS_MAX = 4
LOADS_OF_AN_ADDRESS = 2
_TAKES_S = 1.0
"""So long an answer may be taken before anybody is turned out for it."""


class Doing(enum.Enum):
    """What a connection is about."""

    ASKING = 0
    TAKING = 1
    LOADING = 2


@dataclass(slots=True, eq=False)
class Caller:
    """One connection: whose it is, and since when it does what."""

    connection: socket.socket
    host: str
    since_s: float
    doing: Doing = Doing.ASKING

    def end(self) -> None:
        """Let whatever waits for this connection fail."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class Room:
    """The connections that are in. Any thread may call."""

    def __init__(self) -> None:
        self._callers: dict[socket.socket, Caller] = {}
        self._lock = threading.Lock()

    def enter(self, connection: socket.socket, host: str, *, now_s: float) -> bool:
        """Let a connection in, and another out if need be; return whether there is room."""
        with self._lock:
            here = list(self._callers.values())
            own = [caller for caller in here if caller.host == host]
            full = own if len(own) >= MAX_OF_AN_ADDRESS else here if len(here) >= MAX_AT_ONCE else None
            if full is not None:
                leaving = _who_goes(full, now_s)
                if leaving is None:
                    return False
                del self._callers[leaving.connection]
                leaving.end()
            self._callers[connection] = Caller(connection, host, now_s)
            return True

    def leave(self, connection: socket.socket) -> None:
        """Forget a connection, if it is in."""
        with self._lock:
            self._callers.pop(connection, None)

    def caller(self, connection: socket.socket) -> Caller:
        """Return a connection's entry; one that nobody counts any more if it has been turned out."""
        with self._lock:
            return self._callers.get(connection) or Caller(connection, "", 0.0)

    def note(self, connection: socket.socket, doing: Doing) -> None:
        """Take note of what a connection does from now on."""
        with self._lock:
            if connection in self._callers:
                caller = self._callers[connection]
                caller.doing, caller.since_s = doing, time.monotonic()

    def may_load(self, connection: socket.socket) -> bool:
        """Count a connection as loading; return whether one more may, and one more of its address."""
        with self._lock:
            caller = self._callers.get(connection)
            hosts = [each.host for each in self._callers.values() if each.doing is Doing.LOADING]
            if caller is None or len(hosts) >= LOADS_MAX or hosts.count(caller.host) >= LOADS_OF_AN_ADDRESS:
                return False
            caller.doing, caller.since_s = Doing.LOADING, time.monotonic()
            return True


def _who_goes(callers: list[Caller], now_s: float) -> Caller | None:
    """Return who makes room, if anybody does."""
    asking = [caller for caller in callers if caller.doing is Doing.ASKING]
    taking = [caller for caller in callers if caller.doing is Doing.TAKING and now_s - caller.since_s >= _TAKES_S]
    return min(asking or taking, key=lambda caller: caller.since_s, default=None)
