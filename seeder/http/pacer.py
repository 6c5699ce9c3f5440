"""Keeps what the seeder sends within its uplink, and shares that among addresses before it shares it among responses.

A virtual clock: each chunk moves the time at which the next one may go out. Time that nobody used is made up for by a
quarter of a second at most, so that a busy processor costs no throughput and an idle link gives no burst.

Whose chunk is next is start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): a chunk's tag is the later of
where the queue is and where its address's last chunk ended, chunks go out by rising tag, and a chunk moves its address
on by its size over the address's weight. Within an address that is first come, first served. The weight is how many
responses the address has, so a rack shares as ever, but at most `OF_ONE_NODE` for each node that has fetched leases
from there: five hundred downloads of one host are two shares, a rack behind one NAT or proxy has those of its nodes. An
address that is alone has the whole uplink whatever its weight (docs/decisions/0041). A response that others wait for, a
machine's stage 0 in its turn, may weigh more, one of an address's at a time (docs/decisions/0055).
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from swarmboot.text.addresses import counted_as

CATCH_UP_S = 0.25
HEADROOM, CATCH_UP_BESIDE_S = 0.95, 0.02
"""So much of the rate, and so little made up for, while something that others wait for goes out beside what nobody
waits for: where a link is full its own queue shares by connection, whatever weighs more here."""

OF_ONE_NODE = 2
"""A node fetches two leases at once: so many responses are its own."""

_ADDRESSES_MAX = 4096


@dataclass(slots=True)
class Share:
    """One address's part of the uplink: its responses, and the tag at which its next chunk may begin."""

    address: str
    responses: int = 0
    ends: float = 0.0
    more: Counter[float] = field(default_factory=Counter)
    """What responses that others wait for weigh more, and how many do; the most counts, once: anybody may open many."""


@dataclass(slots=True, order=True)
class Turn:
    """A chunk that waits: its tag, its place among equals, and whose sleep is cut short when it is next."""

    tag: float
    number: int
    size_bytes: int = field(compare=False)
    sleep: trio.CancelScope | None = field(compare=False, default=None)
    is_over: bool = field(compare=False, default=False)


class Queue:
    """Whose chunk goes out next. `nodes_at` says how many nodes of an address have proved themselves. Pure."""

    def __init__(self, nodes_at: Callable[[str], int] = lambda _address: 0) -> None:
        self._nodes_at = nodes_at
        self._shares: dict[str, Share] = {}
        self._waiting: list[Turn] = []
        self._number = 0
        self._at = 0.0
        self._responses = Counter[bool]()

    def enter(self, host: str, *, more: float = 0.0) -> Share:
        """Return the share of an address that one more response has begun at, which weighs `more` than others."""
        address = counted_as(host)
        share = self._shares.get(address)
        if share is None:
            if len(self._shares) >= _ADDRESSES_MAX:
                self._forget()
            share = self._shares[address] = Share(address)
        share.responses += 1
        share.more[more] += 1
        self._responses[more > 0] += 1
        return share

    def leave(self, share: Share, *, more: float = 0.0) -> None:
        """Take note that a response has ended; an address that is ahead of the queue is remembered until it is not."""
        share.responses -= 1
        share.more[more] -= 1
        self._responses[more > 0] -= 1
        if not share.more[more]:
            del share.more[more]
        if not share.responses and share.ends <= self._at:
            self._shares.pop(share.address, None)

    @property
    def is_mixed(self) -> bool:
        """Return whether responses that others wait for are under way beside others."""
        return self._responses[True] > 0 < self._responses[False]

    def _forget(self) -> None:
        """Forget addresses without a response."""
        self._shares = {name: share for name, share in self._shares.items() if share.responses}

    def put(self, share: Share, size_bytes: int) -> Turn:
        """Return the turn of one more chunk, which waits until `take`."""
        most = OF_ONE_NODE * max(1, self._nodes_at(share.address))
        tag = max(self._at, share.ends)
        share.ends = tag + size_bytes / (min(max(1, share.responses), most) + max(share.more, default=0.0))
        self._number += 1
        turn = Turn(tag, self._number, size_bytes)
        heapq.heappush(self._waiting, turn)
        return turn

    @property
    def first(self) -> Turn | None:
        """Return whose turn it is, None if nobody waits."""
        waiting = self._waiting
        while waiting and waiting[0].is_over:
            heapq.heappop(waiting)
        return waiting[0] if waiting else None

    def take(self, turn: Turn) -> None:
        """Take note that a chunk goes out."""
        self._at = max(self._at, turn.tag)
        turn.is_over = True


class Pacer:
    """Lets bytes go at `rate_bytes_per_s`, payload alone counted."""

    def __init__(
        self,
        rate_bytes_per_s: float,
        *,
        nodes_at: Callable[[str], int] = lambda _address: 0,
    ) -> None:
        self.rate_bytes_per_s = rate_bytes_per_s
        self._queue = Queue(nodes_at)
        self._free_s = -math.inf
        self._next: Turn | None = None

    def enter(self, host: str, *, more: float = 0.0) -> Share:
        """Return what to `take` turns with for one response to an address; give it to `leave` once, with its `more`.

        A response weighs one, and `more` if others wait for it.
        """
        return self._queue.enter(host, more=more)

    def leave(self, share: Share, *, more: float = 0.0) -> None:
        """Take note that a response has ended."""
        self._queue.leave(share, more=more)

    async def take(self, share: Share, size_bytes: int) -> None:
        """Return when `size_bytes` may be sent."""
        turn = self._queue.put(share, size_bytes)
        self._let_go()
        try:
            while not turn.is_over:
                turn.sleep = trio.CancelScope()
                self._let_go()
                with turn.sleep:
                    await trio.sleep_forever()
                self._let_go()
        finally:
            if not turn.is_over:
                turn.is_over = True
                self._let_go()

    def _let_go(self) -> None:
        """Let go whoever's turn has come; the next sleeps until the link is free, all others until they are next.

        Several at once where the processor is late: each wake by itself costs more than all else here.
        """
        now_s = trio.current_time()
        is_mixed = self._queue.is_mixed
        rate_bytes_per_s = self.rate_bytes_per_s * (HEADROOM if is_mixed else 1.0)
        catch_up_s = CATCH_UP_BESIDE_S if is_mixed else CATCH_UP_S
        while (first := self._queue.first) is not None and self._free_s <= now_s:
            self._free_s = max(self._free_s, now_s - catch_up_s) + first.size_bytes / rate_bytes_per_s
            self._queue.take(first)
            if first.sleep is not None:
                first.sleep.deadline = -math.inf
        before, self._next = self._next, first
        if before is not None and before is not first and before.sleep is not None and not before.is_over:
            before.sleep.deadline = math.inf
        if first is not None and first.sleep is not None:
            first.sleep.deadline = self._free_s
