"""Carries out what is decided of reads that wait for pieces (`leecher.policy.demands`)."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from leecher.policy.demands import Demands, HurryRequest, OriginRequest, ReportRequest, TellRequest
from leecher.policy.events import PieceRead
from leecher.policy.node_policy import Policy
from leecher.swarm.announcer import Announcer
from swarmboot.ids import InfoHash, PieceIndex

if TYPE_CHECKING:
    from leecher.swarm.session import Swarm


class Reads:
    """The reads of a node whose images are in use before they are whole.

    `came` is called when a piece is there that a read has waited for; `tell` takes lines for the console. `touched` are
    the pieces that were read, in order: what a trace is made of.
    """

    def __init__(
        self,
        policy: Policy,
        swarm: Swarm,
        announcer: Announcer,
        *,
        came: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self.touched: dict[tuple[InfoHash, PieceIndex], None] = {}
        self._demands = Demands(policy.wanted, random=Random())
        self._policy = policy
        self._swarm = swarm
        self._announcer = announcer
        self._came = came
        self._tell = tell

    @property
    def is_waited_for(self) -> bool:
        """Return whether a read waits."""
        return self._demands.is_waited_for

    def hear(self, fact: PieceRead, *, now_s: float) -> None:
        """Take note of a read."""
        info_hash, have = fact.info_hash, self._policy.have.get(fact.info_hash)
        if have is None or fact.index >= self._policy.wanted[info_hash].count:
            return
        if (info_hash, fact.index) not in self.touched:
            self.touched[info_hash, fact.index] = None
            self._demands.read(info_hash, fact.index, have=have)
        if not fact.is_missing:
            return
        if have >> fact.index & 1:
            self._came()  # it has come meanwhile, but may not be written yet
        else:
            self._demands.read_waits(info_hash, fact.index, now_s=now_s)

    def arrived(self, info_hash: InfoHash, index: int) -> None:
        """Take note of a verified piece."""
        if self._demands.piece_arrived(info_hash, PieceIndex(index)):
            self._announcer.urgent = self._demands.urgent()
            self._came()

    def step(self, *, now_s: float) -> None:
        """Act on what waits."""
        self._demands.boot_waits(self._policy.have, patience_s=self._policy.patience_s, now_s=now_s)
        for request in self._demands.requests(now_s=now_s):
            match request:
                case HurryRequest(info_hash, index, deadline_s):
                    self._swarm.hurry(info_hash, index, deadline_s)
                case TellRequest():
                    self._announcer.urgent = self._demands.urgent()
                    self._policy.tell_soon()
                case OriginRequest(info_hash, index):
                    self._policy.fetch_now(info_hash, index)
                case ReportRequest(_, index, waited_s):
                    self._tell(f"a program waits for piece {index} for {waited_s:.0f} s already; still trying")

    def next_wake_s(self) -> float:
        """Return when `step` has something to do if nothing happens before."""
        return self._demands.next_wake_s()
