"""One node's loop on simulated time: facts to `leecher.policy.node_policy.Policy`, its requests to a transport.

It does what `leecher.swarm.fetcher.Fetcher.step` does on real time, and nothing else: ask the policy, act, sleep until
the policy's next wake or until woken. Handouts, failed announces, ended ranges, found neighbours and the last piece
wake it; other pieces do not; facts that come while the loop is waking are acted on together.
tests/sim/test_same_decisions.py holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from leecher.policy.node_policy import Policy
from leecher.policy.requests import AnnounceRequest, ConnectRequest, FetchRequest, PieceRange
from swarmboot.ids import InfoHash
from swarmboot.release.piece_set import Pieces
from swarmboot.wire.announce import Handout, Neighbour

Action = Callable[[float], None]

WAKING_S = 0.0002
"""What the shell's task takes from being woken to asking the policy, about."""


class Transport(Protocol):
    """What carries out a node's requests."""

    def announce(self, request: AnnounceRequest, now_s: float) -> None:
        """Announce to the seeder; the answer comes back as `handout_arrived` or `announce_failed`."""

    def fetch(self, piece_range: PieceRange, now_s: float) -> None:
        """Fetch a range; its end comes back as `range_ended`."""

    def dial(self, neighbours: tuple[Neighbour, ...], now_s: float) -> None:
        """Connect to neighbours."""


class PolicyLoop:
    """A policy and the loop around it. `at` runs an action at a later moment."""

    def __init__(self, policy: Policy, transport: Transport, *, at: Callable[[float, Action], None]) -> None:
        self.policy = policy
        self.is_over = False
        self.has_started = False
        self._transport = transport
        self._at = at
        self._sleep = 0
        self._is_waking = False

    def begin(self, now_s: float) -> None:
        """Start the loop."""
        self._wake(now_s)

    def started(self, now_s: float) -> None:
        """Occurs when the node can be dialled."""
        self.has_started = True
        self.policy.started(now_s=now_s)
        self._wake(now_s)

    def pieces_arrived(self, info_hash: InfoHash, have: Pieces, *, at_s: float) -> None:
        """Occurs when the node has these pieces, the last of them since `at_s`; wakes it when nothing is lacking."""
        was_complete = self.policy.is_complete
        new = have & ~self.policy.have[info_hash]
        if new:
            low = (new & -new).bit_length() - 1
            self.policy.have[info_hash] |= new & ~(1 << low)
            self.policy.piece_arrived(info_hash, low, now_s=at_s)
        if self.policy.is_complete and not was_complete:
            self._wake(at_s)

    def handout_arrived(self, handout: Handout, now_s: float) -> None:
        """Occurs when the seeder's answer is here."""
        self.policy.handout_arrived(handout, now_s=now_s)
        self._wake(now_s)

    def announce_failed(self, now_s: float) -> None:
        """Occurs when the seeder gave no answer."""
        self.policy.announce_failed(now_s=now_s)
        self._wake(now_s)

    def range_ended(self, number: int, *, is_whole: bool, now_s: float) -> None:
        """Occurs when a range was fetched and its pieces count, or when it failed."""
        self.policy.range_ended(number, is_whole=is_whole, now_s=now_s)
        self._wake(now_s)

    def neighbours_found(self, neighbours: tuple[Neighbour, ...], now_s: float) -> None:
        """Occurs when local discovery found neighbours."""
        self.policy.neighbours_found(neighbours)
        self._wake(now_s)

    def hurry(self, now_s: float) -> None:
        """Occurs when a read that waits wants something of the seeder or an origin."""
        self._wake(now_s)

    def _wake(self, now_s: float) -> None:
        if not self._is_waking:
            self._is_waking = True
            self._at(now_s + WAKING_S, self._step)

    def _step(self, now_s: float) -> None:
        self._is_waking = False
        if self.is_over:
            return
        self._sleep += 1
        if not self.has_started:
            self.policy.still_starting(has_room=True, now_s=now_s)
        for request in self.policy.requests(now_s=now_s):
            match request:
                case AnnounceRequest():
                    self._transport.announce(request, now_s)
                case FetchRequest(piece_range):
                    self._transport.fetch(piece_range, now_s)
                case ConnectRequest(neighbours):
                    self._transport.dial(neighbours, now_s)
        sleep = self._sleep
        self._at(self.policy.next_wake_s(now_s=now_s), lambda woken_s: self._awake(sleep, woken_s))

    def _awake(self, sleep: int, now_s: float) -> None:
        if sleep == self._sleep and not self._is_waking:
            self._step(now_s)
