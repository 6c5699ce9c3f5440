"""In which order new connections shake hands: one at a time, with turns of the event loop for everybody else between.

A TLS handshake costs the seeder as much as four announces. Hundreds that come at once (a rack that is switched on, a
host that means harm) would each be taken as soon as it is there, one in every turn of the event loop, and a handout,
which takes some eight turns, would wait for eight of them. Spread over turns they end as soon as before, since the
turns are short when nobody else is there, and handouts wait for one.

Addresses pass by turns as well, so that no host with a thousand connections keeps a node from its first.
"""

from __future__ import annotations

from collections import deque

import trio

TURNS = 8
"""Turns of the event loop from one handshake to the next, as many as an announce takes."""


class Turnstile:
    """Lets connections through, one in `turns` turns of the event loop, addresses in rotation."""

    def __init__(self, turns: int = TURNS) -> None:
        self._turns = turns
        self._waiting: dict[str, deque[trio.Event]] = {}
        self._somebody = trio.Event()

    async def enter(self, address: str) -> None:
        """Return when it is the turn of a connection from that address; it needs `run` beside it."""
        turn = trio.Event()
        self._waiting.setdefault(address, deque()).append(turn)
        self._somebody.set()
        try:
            await turn.wait()
        finally:
            self._leave(address, turn)

    def _leave(self, address: str, turn: trio.Event) -> None:
        """Forget one that does not wait any more: its turn has come already, or it was cut off."""
        if not turn.is_set():
            line = self._waiting[address]
            line.remove(turn)
            if not line:
                del self._waiting[address]

    async def run(self) -> None:
        """Let through whoever waits, until cancelled."""
        while True:
            if not self._waiting:
                self._somebody = trio.Event()
                await self._somebody.wait()
            address = next(iter(self._waiting))
            line = self._waiting.pop(address)
            line.popleft().set()
            if line:
                self._waiting[address] = line
            for _ in range(self._turns):
                await trio.lowlevel.checkpoint()
