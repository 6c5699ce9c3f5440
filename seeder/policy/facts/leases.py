"""Which pieces are leased to whom, for how long, and what the seeder has seen come of it.

A lease is the right to fetch some pieces alone, for a time. What a node says of a lease is a claim; that its bytes were
asked for at the seeder itself, from the node's address, and that they went out, the seeder sees for itself. So a
lease that nobody asks the bytes of is idle: it takes no place in the pipe and others may have its pieces. A node's
credit is how many more of its leases were fetched than were let lapse.

Pure: facts go in with their time. Bytes that a mirror sends are not seen; there only the timeout counts.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from seeder.policy.facts.torrent_state import TorrentState
from swarmboot.ids import InfoHash, LeaseId, NodeId, PieceIndex
from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces

STALL_S = 2.0
"""A lease that gains no piece for this long, and for three times what a fair share of the uplink needs, is void."""

SHOW_S = 1.0
"""So long a node that can be dialled may take to verify and announce what it has fetched."""

IDLE_S = 0.75
"""A lease whose bytes nobody has asked the seeder for by then is idle: a node asks within a round trip or two."""

START_MAX_S = 10.0
"""So long what a node has fetched may stay leased to it at most while it cannot show it yet."""

UNSEEN_MAX = 6
"""How many leases a node may have whose bytes have not gone out: it fetches two at a time."""

START_MAX_BYTES = 40 << 20
"""How much may be leased to a node that cannot be dialled yet: it keeps what it fetches in memory, 32 MiB of it."""

_TRACES_MAX = 1 << 14
_ADDRESSES_MAX = 4096
_UNFETCHED_MAX = 8


@dataclass(slots=True)
class OpenLease:
    """A lease that is not fulfilled yet: the pieces still awaited, when it becomes void, and what has become of it.

    It is void at `ends_s` whatever is said about it. `is_seen` says whether the seeder would see its bytes go out,
    `is_begun` that they were asked for, `is_fetched` that they went, `is_received` that its node says so; by `shown_s`
    its node should have shown the pieces. One that `is_shared` others may take over from the beginning.
    """

    id: LeaseId
    node: NodeId
    host: str
    info_hash: InfoHash
    first: PieceIndex
    count: int
    awaited: Pieces
    granted_s: float
    expires_s: float
    ends_s: float
    is_seen: bool = True
    is_begun: bool = False
    is_fetched: bool = False
    is_received: bool = False
    is_idle: bool = False
    is_unbegun: bool = False
    is_shared: bool = False
    shown_s: float = math.inf

    @property
    def is_in_pipe(self) -> bool:
        """Return whether its bytes are taken to be on their way."""
        return not (self.is_received or self.is_idle)

    @property
    def has_lapsed(self) -> bool:
        """Return whether the seeder would have seen its bytes go out, and has not."""
        return self.is_seen and not self.is_fetched

    def renew(self, now_s: float) -> None:
        """Give it time to gain a piece, within its bounds."""
        self.expires_s = min(self.ends_s, max(self.expires_s, now_s + STALL_S))


class Book:
    """All leases that await pieces, and what was granted before.

    `in_pipe` counts those whose bytes are still on their way, `granted` all there ever were. `has_seen` says whether
    the bytes of any have been seen to go out: not where a cache stands before the seeder. `freed` grows whenever others
    may have what was leased.
    """

    def __init__(self, torrents: Mapping[InfoHash, TorrentState]) -> None:
        self.in_pipe = 0
        self.granted = 0
        self.has_seen = False
        self.freed = 0
        self._torrents = torrents
        self._awaiting: dict[InfoHash, dict[LeaseId, OpenLease]] = {}
        self._unbegun_at: Counter[str] = Counter()
        self._lapsed_at: OrderedDict[str, int] = OrderedDict()
        self._traces: OrderedDict[tuple[str, InfoHash, int], OpenLease] = OrderedDict()

    def awaiting(self, info_hash: InfoHash) -> Iterable[OpenLease]:
        """Return the leases that await pieces of a torrent, as granted: each piece one, so never more than pieces."""
        return self._awaiting.get(info_hash, {}).values()

    def open(self, lease: OpenLease) -> None:
        """Record a lease; others give up to it what they have of its pieces."""
        state = self._torrents[lease.info_hash]
        awaiting = self._awaiting.setdefault(lease.info_hash, {})
        for other in list(awaiting.values()) if state.leased & lease.awaited else ():
            other.awaited &= ~lease.awaited
            if not other.awaited:
                del awaiting[other.id]
        awaiting[lease.id] = lease
        state.release(lease.awaited)
        state.leased |= lease.awaited
        self.in_pipe += 1
        if lease.is_seen:
            lease.is_unbegun = True
            self._unbegun_at[lease.host] += 1
            state.unbegun |= lease.awaited
            self._traces[lease.host, lease.info_hash, lease.first] = lease
            self._traces.move_to_end((lease.host, lease.info_hash, lease.first))
            if len(self._traces) > _TRACES_MAX:
                self._traces.popitem(last=False)

    def gain(self, lease: OpenLease, left: Pieces) -> None:
        """Record that only `left` of a lease's pieces are still awaited."""
        self._torrents[lease.info_hash].release(lease.awaited & ~left)
        lease.awaited = left

    def close(self, lease: OpenLease) -> None:
        """Take a lease off the books."""
        self._no_longer_unbegun(lease)
        self.freed += 1
        state = self._torrents[lease.info_hash]
        state.release(lease.awaited)
        self._awaiting[lease.info_hash].pop(lease.id, None)
        self.in_pipe -= lease.is_in_pipe
        lease.awaited = 0
        lease.is_received = True

    def receive(self, lease: OpenLease) -> None:
        """Free a lease's place in the pipe; its pieces stay leased until they are announced as verified."""
        self.freed += 1
        self.in_pipe -= lease.is_in_pipe
        lease.is_received = True

    def idle(self, lease: OpenLease) -> None:
        """Let others have a lease's pieces: its bytes are not asked for, or not shown once they are there."""
        self._no_longer_unbegun(lease)
        state = self._torrents[lease.info_hash]
        self.in_pipe -= lease.is_in_pipe
        self.freed += 1
        lease.is_idle = True
        state.idle |= lease.awaited

    def begin(self, host: str, info_hash: InfoHash, first: int, count: int) -> None:
        """Occurs when a run of pieces is asked for at the seeder itself."""
        lease = self._traces.get((host, info_hash, first))
        if lease is None or lease.is_begun or lease.count != count:
            return
        self._no_longer_unbegun(lease)
        lease.is_begun = True
        if not lease.awaited:
            return
        state = self._torrents[info_hash]
        state.unbegun &= ~lease.awaited
        if not lease.is_shared:
            state.idle &= ~lease.awaited
        if lease.is_idle and not lease.is_shared:
            lease.is_idle = False
            self.in_pipe += lease.is_in_pipe

    def fetch(self, host: str, info_hash: InfoHash, first: int, count: int) -> OpenLease | None:
        """Return the lease that was just fetched whole by a run of pieces that went out, if it was one."""
        lease = self._traces.get((host, info_hash, first))
        if lease is None or lease.is_fetched or lease.count != count:
            return None
        del self._traces[host, info_hash, first]
        lease.is_fetched = self.has_seen = True
        if lease.host in self._lapsed_at:
            self._lapsed_at[lease.host] = max(0, self._lapsed_at[lease.host] - 1)
        state = self._torrents.get(info_hash)
        if state is not None:
            state.sent |= piece_set.span(lease.first, count)
        return lease

    def _no_longer_unbegun(self, lease: OpenLease) -> None:
        if lease.is_unbegun:
            lease.is_unbegun = False
            self._unbegun_at[lease.host] -= 1
            if not self._unbegun_at[lease.host]:
                del self._unbegun_at[lease.host]

    def lapse(self, host: str) -> None:
        """Remember that a lease lapsed at an address."""
        self._lapsed_at[host] = self._lapsed_at.pop(host, 0) + 1
        if len(self._lapsed_at) > _ADDRESSES_MAX:
            self._lapsed_at.popitem(last=False)

    def is_burnt(self, host: str, *, known: int) -> bool:
        """Return whether an address has more leases that nobody fetches than `known` good nodes there make up for."""
        return max(self._unbegun_at.get(host, 0), self._lapsed_at.get(host, 0)) > _UNFETCHED_MAX * (1 + known)

    def forget_traces(self, now_s: float) -> None:
        """Expect no more bytes to go out for leases that ended before `now_s`."""
        while self._traces and next(iter(self._traces.values())).ends_s < now_s:
            self._traces.popitem(last=False)


def idle_from_s(lease: OpenLease, *, is_starting: bool) -> float:
    """Return from when on a lease is idle, as far as is known: if its bytes are not asked for, or not shown."""
    if lease.is_idle or not lease.is_seen:
        return math.inf
    if not lease.is_begun:
        return lease.granted_s + IDLE_S
    return lease.shown_s if lease.is_fetched and not is_starting else math.inf
