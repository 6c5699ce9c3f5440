"""What a node does next: announce, fetch a lease, or rescue itself. Facts in, requests out, timers are requests.

A node announces when it has room for a lease, when a lease has ended and when its interval is over. It fetches what it
is leased and takes the rest from its neighbours. If nothing arrives for `starve_s`, or for as long as the seeder's
handout calls normal, it says so to the seeder; if that does not help within `rescue_s` more (and up to half as long
again, so that a rack does not act as one), or if the seeder does not answer, it fetches what it lacks from an origin by
itself, in random order, so that the worst case is plain HTTPS at full speed.

Pure: `now_s` and a `Random` come in. The shell in `leecher.boot.boot` and the simulator drive the same object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from leecher.policy.requests import (
    AbortRequest,
    AnnounceRequest,
    ConnectRequest,
    FetchRequest,
    PieceRange,
    Request,
)
from leecher.policy.slowness import Slowness
from swarmboot.backoff import doubled_s, jittered_s
from swarmboot.ids import InfoHash, LeaseId, PieceIndex
from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces
from swarmboot.wire.announce import Handout, Lease, Neighbour, NodeState

_LOOK_S = 0.5
"""How often it is looked at what has come of ranges."""


@dataclass(frozen=True, slots=True)
class PolicyLimits:
    """The policy's constants, in seconds, bytes and counts."""

    lease_slots: int = 2
    starve_s: float = 1.0
    rescue_s: float = 4.0
    rescue_bytes: int = 1 << 20
    rescue_max_bytes: int = 4 << 20
    backoff_s: float = 0.5
    backoff_max_s: float = 8.0
    failures_alone: int = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """A torrent that the node is to have; of its pieces those of `first` first."""

    info_hash: InfoHash
    count: int
    piece_bytes: int
    first: Pieces = 0


class Policy:
    """One node's decisions from its first announce on. `origin` is where it may fetch from before any handout."""

    def __init__(
        self,
        wanted: Mapping[InfoHash, Wanted],
        *,
        origin: str,
        now_s: float,
        random: Random,
        limits: PolicyLimits | None = None,
    ) -> None:
        self.limits = limits or PolicyLimits()
        self.wanted = dict(wanted)
        self.have: dict[InfoHash, Pieces] = dict.fromkeys(wanted, 0)
        self.expected: Mapping[InfoHash, Pieces] = {}  # they come from elsewhere: no rescue fetches them
        self.in_hand: Mapping[InfoHash, Pieces] = {}  # their bytes are in, and are being verified
        self.rescues = 0
        self._is_rescuing = False
        self._is_helped = False
        self._asked: dict[InfoHash, Pieces] = {}
        self._rescue_bytes = self.limits.rescue_bytes
        self._random = random
        self._own_origin = origin
        self._origins: tuple[str, ...] = (origin,) if origin else ()
        self._origin_failures: dict[str, int] = {}
        self._ranges: dict[int, PieceRange] = {}
        self._received: list[LeaseId] = []
        self._returned: list[LeaseId] = []
        self._queue: list[Request] = []
        self._next_range = 1
        self._announce_at_s = now_s
        self._in_flight = 0
        self._failures = 0
        self._has_news = False
        self._rescue_at_s = now_s
        self._starve_s = self.limits.starve_s
        self._rescue_factor = random.uniform(1.0, 1.5)
        self._progress_s = now_s
        self._starving_told_s: float | None = None
        self._is_complete_told = False
        self._most_leases = self.limits.lease_slots
        self._has_room = True
        self._slowness = Slowness()
        self._arrived_s = now_s

    def want_later(self, wanted: Wanted, *, now_s: float) -> None:
        """Want one more torrent, at low priority: from now on one range at a time, for this and all others."""
        self.wanted[wanted.info_hash] = wanted
        self.have[wanted.info_hash] = 0
        self._most_leases = 1
        self._progress_s = now_s
        self.tell_soon()

    def still_starting(self, *, has_room: bool, now_s: float) -> None:
        """Occurs while the node is no neighbour yet: nobody could have sent it anything, so nothing is overdue."""
        self._progress_s = self._arrived_s = now_s
        self._has_room = has_room

    def has_in_hand(self, pieces: Mapping[InfoHash, Pieces], *, has_room: bool, now_s: float) -> None:
        """Take note of what is being verified.

        Without room for more the node fetches nothing until there is, and lacks nothing that others could send it.
        """
        self.in_hand = pieces
        self._has_news |= has_room and not self._has_room
        self._has_room = has_room
        if not has_room:
            self._progress_s = now_s

    def coming(self, info_hash: InfoHash) -> Pieces:
        """Return the pieces that are as good as there: nobody needs to fetch them."""
        return self.expected.get(info_hash, 0) | self.in_hand.get(info_hash, 0)

    @property
    def _lease_slots(self) -> int:
        return self._most_leases if self._has_room else 0

    def started(self, *, now_s: float) -> None:
        """Occurs when the node has become a neighbour."""
        self.still_starting(has_room=True, now_s=now_s)
        self.tell_soon()

    def tell_soon(self) -> None:
        """Announce soon: occurs when there is something to tell that no other fact implies."""
        self._has_news = True

    @property
    def is_complete(self) -> bool:
        """Return whether every piece is there."""
        return all(self.have[h] == piece_set.all_pieces(want.count) for h, want in self.wanted.items())

    @property
    def is_ready(self) -> bool:
        """Return whether all that is to be there first is there."""
        return all(not want.first & ~self.have[h] for h, want in self.wanted.items())

    @property
    def is_alone(self) -> bool:
        """Return whether the seeder has stopped answering announces."""
        return self._failures >= self.limits.failures_alone

    def piece_arrived(self, info_hash: InfoHash, index: int, *, now_s: float) -> None:
        """Occurs when a verified piece is on disk, wherever it came from."""
        self.have[info_hash] |= 1 << index
        self._is_helped |= not self._asked.get(info_hash, 0) >> index & 1
        self._progress_s = self._arrived_s = now_s
        self._starving_told_s = None

    def handout_arrived(self, handout: Handout, *, now_s: float) -> None:
        """Occurs when the seeder answers an announce."""
        self._in_flight -= 1
        self._failures = 0
        self._starve_s = max(self.limits.starve_s, handout.patience_s)
        if handout.origins:
            self._origins = tuple(origin or self._own_origin for origin in handout.origins)
        if handout.neighbours:
            self._queue.append(ConnectRequest(handout.neighbours))
        for lease in handout.leases:
            self._accept(lease, now_s)
        if handout.leases:
            self._progress_s = now_s
        if handout.leases or (handout.is_supplied and self._is_helped):
            self._is_rescuing = False
        has_room = self._leased_ranges < self._lease_slots
        wait_s = 0.0 if handout.leases and has_room else handout.announce_after_s
        self._announce_at_s = max(now_s, min(self._announce_at_s, now_s) + wait_s)

    def _accept(self, lease: Lease, now_s: float) -> None:
        want = self.wanted.get(lease.info_hash)
        if want is None or lease.first + lease.count > want.count or not self._origins:
            self._returned.append(lease.id)
            return
        wanted = self._origins[lease.origin % len(self._origins)]
        origin = self._slowness.choose(wanted, self._origins, now_s=now_s)
        self._start(lease.info_hash, lease.first, lease.count, origin, lease.id)

    def _start(self, info_hash: InfoHash, first: PieceIndex, count: int, origin: str, lease: LeaseId | None) -> None:
        piece_range = PieceRange(self._next_range, info_hash, first, count, origin, lease)
        self._next_range += 1
        self._ranges[piece_range.number] = piece_range
        self._asked[info_hash] = self._asked.get(info_hash, 0) | piece_set.span(first, count)
        self._queue.append(FetchRequest(piece_range))

    def announce_failed(self, *, now_s: float) -> None:
        """Occurs when an announce got no answer, or none that makes sense."""
        self._in_flight -= 1
        self._failures += 1
        self._announce_at_s = now_s + jittered_s(self._backoff_s(self._failures), self._random)

    def announce_refused(self, *, is_news: bool, now_s: float) -> None:
        """Occurs when the seeder takes this node's id for another's: under its new one it announces at once, once."""
        if not is_news:
            self._in_flight -= 1
            return
        self.announce_failed(now_s=now_s)
        if self._failures == 1:
            self._announce_at_s = now_s

    def _backoff_s(self, failures: int) -> float:
        return doubled_s(self.limits.backoff_s, self.limits.backoff_max_s, failures)

    def range_ended(self, number: int, *, is_whole: bool, now_s: float) -> None:
        """Occurs when a range has been received, or when fetching it failed; a failed lease is given back.

        The announce that follows asks for the next lease while the last pieces of this one are still being verified,
        so that the pipe to the origin stays full.
        """
        piece_range = self._ranges.pop(number, None)
        if piece_range is None:
            return  # it was given up
        size_bytes = piece_range.count * self.wanted[piece_range.info_hash].piece_bytes
        self._slowness.ended(number, size_bytes=size_bytes if is_whole else 0, now_s=now_s)
        if is_whole:
            if piece_range.lease is None:
                self._rescue_bytes = min(2 * self._rescue_bytes, self.limits.rescue_max_bytes)
            self._origin_failures.pop(piece_range.origin, None)
            self._has_news = True
            if piece_range.lease is not None:
                self._received.append(piece_range.lease)
            return
        self.origin_failed(piece_range.origin, now_s=now_s)
        if piece_range.lease is not None:
            self._returned.append(piece_range.lease)
            self._announce_at_s = self._rescue_at_s

    def range_progressed(self, number: int, received_bytes: int, *, now_s: float) -> None:
        """Take note of how much of a range has come, so that it can be given up if that is too little."""
        self._slowness.progressed(number, received_bytes, now_s=now_s)

    def _abort_slow(self, now_s: float) -> None:
        for number in self._slowness.given_up(now_s=now_s, patience_s=self.patience_s):
            self._queue.append(AbortRequest(self._ranges[number]))
            self.range_ended(number, is_whole=False, now_s=now_s)

    @property
    def origins(self) -> tuple[str, ...]:
        """Return where ranges may be fetched from."""
        return self._origins

    def idle_s(self, *, now_s: float) -> float:
        """Return for how long no piece has come."""
        return now_s - self._arrived_s

    def is_stuck(self, *, now_s: float) -> bool:
        """Return whether no piece has come for so long that neighbours are to be looked for."""
        return not self.is_complete and now_s - self._arrived_s >= self.patience_s

    def origin_failed(self, origin: str, *, now_s: float) -> None:
        """Occurs when an origin does not deliver, or delivers a piece that does not match its hash."""
        self._rescue_bytes = self.limits.rescue_bytes
        failures = self._origin_failures[origin] = self.failures_of(origin) + 1
        self._rescue_at_s = now_s + jittered_s(self._backoff_s(failures - 1), self._random)

    def neighbours_found(self, neighbours: tuple[Neighbour, ...]) -> None:
        """Occurs when local discovery finds nodes that the seeder has not named."""
        self._queue.append(ConnectRequest(neighbours))

    def address_changed(self) -> None:
        """Occurs when others can no longer reach this node where it was announced."""
        self._has_news = True

    def requests(self, *, now_s: float) -> list[Request]:
        """Return what is to be done now."""
        self._abort_slow(now_s)
        self._rescue(now_s)
        announce = self._announce(now_s)
        queue, self._queue = self._queue, []
        for request in queue:
            if isinstance(request, FetchRequest):
                self._slowness.began(request.piece_range.number, request.piece_range.origin, now_s=now_s)
        return [*queue, *([announce] if announce else [])]

    def _announce(self, now_s: float) -> AnnounceRequest | None:
        is_complete = self.is_complete
        is_starving = self._is_starving(now_s)
        has_news = self._has_news or (is_complete and not self._is_complete_told)
        has_news |= is_starving and self._starving_told_s is None
        has_news &= not self.is_alone
        if not has_news and (now_s < self._announce_at_s or self._in_flight):
            return None
        free_lease_slots = 0 if is_complete else max(0, self._lease_slots - self._leased_ranges)
        received, self._received = tuple(self._received), []
        returned, self._returned = tuple(self._returned), []
        self._in_flight += 1
        self._has_news = False
        self._announce_at_s = math.inf
        self._is_complete_told = is_complete
        if is_starving and self._starving_told_s is None:
            self._starving_told_s = now_s
        state = NodeState.COMPLETE if is_complete else NodeState.FETCHING
        return AnnounceRequest(state, free_lease_slots, received, returned, is_starving)

    @property
    def _leased_ranges(self) -> int:
        """Return how many leases are being fetched: a node that helps itself asks for leases all the same."""
        return sum(piece_range.lease is not None for piece_range in self._ranges.values())

    def _is_starving(self, now_s: float) -> bool:
        return not self._ranges and now_s - self._progress_s >= self._starve_s and not self.is_complete

    @property
    def patience_s(self) -> float:
        """Return how long nothing may arrive before the node helps itself."""
        return max(self.limits.rescue_s, 2.0 * self._starve_s) * self._rescue_factor

    def _rescue(self, now_s: float) -> None:
        """Fetch what is lacking from an origin if the swarm does not bring it and the seeder does not help.

        Once begun it goes on, so that it is as fast as plain HTTPS, until the seeder gives leases again, or says that
        neighbours supply this node and they do.
        """
        if not self._is_rescuing and self._is_starving(now_s) and now_s - self._progress_s >= self.patience_s:
            self._is_rescuing, self._is_helped = True, False
        if not (self._is_rescuing or self.is_alone) or not self._origins or now_s < self._rescue_at_s:
            return
        origin = min(self._origins, key=self.failures_of)
        while len(self._ranges) < self._lease_slots and self._rescue_one(origin):
            self.rescues += 1

    def _rescue_one(self, origin: str) -> bool:
        """Start on a range of what is lacking, of any torrent's first pieces before the others; return if there is."""
        lacking = [(want, self._lacking(want)) for want in self.wanted.values()]
        for want, pieces in (*((want, pieces & want.first) for want, pieces in lacking), *lacking):
            if pieces:
                start = self._random.randrange(want.count)
                beyond = pieces >> start << start
                first, count = piece_set.first_run(beyond or pieces, max(1, self._rescue_bytes // want.piece_bytes))
                self._start(want.info_hash, first, count, origin, None)
                return True
        return False

    def _lacking(self, want: Wanted) -> Pieces:
        """Return what is neither there nor on its way from an origin or a cache."""
        lacking = piece_set.all_pieces(want.count) & ~self.have[want.info_hash] & ~self.coming(want.info_hash)
        for piece_range in self._ranges.values():
            if piece_range.info_hash == want.info_hash:
                lacking &= ~piece_set.span(piece_range.first, piece_range.count)
        return lacking

    def fetch_now(self, info_hash: InfoHash, index: PieceIndex) -> None:
        """Fetch one piece from an origin unless it comes from one: occurs when a read has waited too long for it."""
        ranges = (each for each in self._ranges.values() if each.info_hash == info_hash)
        is_coming = any(each.first <= index < each.first + each.count for each in ranges)
        if self._origins and not (is_coming or self.in_hand.get(info_hash, 0) >> index & 1):
            self._start(info_hash, index, 1, min(self._origins, key=self.failures_of), None)

    def failures_of(self, origin: str) -> int:
        """Return how many ranges from this origin have failed since one last succeeded."""
        return self._origin_failures.get(origin, 0)

    def next_wake_s(self, *, now_s: float) -> float:
        """Return when `requests` should be asked again if no fact arrives before."""
        due_s = [self._announce_at_s] if not self._in_flight else []
        if not self._ranges and not self.is_complete:
            since = self._progress_s
            due_s += [since + self._starve_s, since + self.patience_s, self._rescue_at_s]
        elif self._is_rescuing or self.is_alone:
            due_s.append(self._rescue_at_s)
        if self._slowness.is_watching or not self._has_room:
            due_s.append(now_s + _LOOK_S)
        return min((due for due in due_s if due > now_s), default=now_s + 1.0)
