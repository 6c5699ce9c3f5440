"""What a node says of itself to its seeder, and what it hears: announces out, handouts in (BEP 3's tracker, made ours).

Which neighbours and leases a handout brings is for the policy; what else it says is kept here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from leecher.origin.background import BackgroundRequests
from leecher.origin.small_request import SmallRequest
from leecher.policy.node_policy import Policy
from leecher.policy.requests import AnnounceRequest
from leecher.swarm.counters import BootCounters
from swarmboot.errors import ProofRefusedError
from swarmboot.ids import Digest, InfoHash, NodeId, PieceIndex, Sequence
from swarmboot.release import piece_set as sets
from swarmboot.release.manifest import Artifact
from swarmboot.settings import NodeSettings
from swarmboot.wire.about import About
from swarmboot.wire.announce import Announce, Handout, Neighbour, NodeState

LEAVE_S = 1.0


@dataclass(slots=True)
class Heard:
    """What the seeder has said besides leases and neighbours: of this node's part in a rack, and of its own link."""

    is_stage0_wanted: bool = False
    stage0_from: tuple[Neighbour, ...] = ()
    is_hidden: bool = False
    uplink_bytes_per_s: float = 0.0


class Introduction:
    """Which machine this is, told under each name of the node until the seeder has answered once."""

    def __init__(self, counters: BootCounters) -> None:
        self._counters = counters
        self._told_as: NodeId | None = None
        self._known_as: NodeId | None = None

    def about(self) -> About | None:
        """Return what is to be told, as long as the seeder has not heard it of this node."""
        counters = self._counters
        if counters.about is None or self._known_as == counters.node:
            return None
        self._told_as = counters.node
        return counters.about

    def answered(self) -> None:
        """Take it that the seeder knows what it was told."""
        self._known_as = self._told_as


class Announcer:
    """Announces a node that fetches `artifacts`, which may grow.

    `port` and `http_port` are where the node listens for pieces and for documents, 0 before it does; `serves` is what
    it serves besides and `loads_sent` how often it did, `urgent` which pieces reads wait for. `tell` takes lines for
    the console.
    """

    def __init__(
        self,
        requests: BackgroundRequests,
        settings: NodeSettings,
        counters: BootCounters,
        policy: Policy,
        artifacts: Mapping[InfoHash, Artifact],
        *,
        sequence: Sequence,
        tell: Callable[[str], None],
    ) -> None:
        self.port = 0
        self.http_port = 0
        self.serves: tuple[Digest, ...] = ()
        self.loads_sent: int | None = None
        self.urgent: tuple[tuple[InfoHash, PieceIndex], ...] = ()
        self.heard = Heard()
        self._requests = requests
        self._settings = settings
        self._counters = counters
        self._policy = policy
        self._artifacts = artifacts
        self._sequence = sequence
        self._tell = tell
        self._introduction = Introduction(counters)

    @property
    def ports(self) -> tuple[int, int]:
        """Return where this node listens: for pieces and for documents; 0 before it does."""
        return self.port, self.http_port

    def announce(self, request: AnnounceRequest) -> None:
        """Begin an announce; it comes back as AnnounceAnswered."""
        self._requests.announce(self._announcement(request))

    def leave(self) -> SmallRequest | None:
        """Return what tells the seeder, if there is one, that this node goes away."""
        if not self._settings.server:
            return None
        request = AnnounceRequest(NodeState.LEAVING, 0, (), (), is_starving=False)
        return self._requests.posted(self._announcement(request), LEAVE_S)

    def _announcement(self, request: AnnounceRequest) -> Announce:
        return Announce(
            node=self._counters.node,
            sequence=self._sequence,
            state=request.state,
            port=self.port,
            http_port=self.http_port,
            rack=self._settings.rack,
            have={h: sets.encode(self._shown(h), each.pieces) for h, each in self._artifacts.items()},
            free_lease_slots=request.free_lease_slots,
            received=request.received,
            returned=request.returned,
            is_starving=request.is_starving,
            from_neighbours_bytes=self._counters.whole_from_neighbours_bytes,
            from_origin_bytes=self._counters.from_origin_bytes,
            serves=self.serves,
            serves_bytes_per_s=int(self._settings.up_bytes_per_s),
            loads_sent=self.loads_sent,
            key=self._counters.key,
            own_end=self._requests.own_end,
            about=self._introduction.about(),
            urgent=self._urgent(),
            sent_ms=int(time.monotonic() * 1000),
        )

    def _shown(self, info_hash: InfoHash) -> sets.Pieces:
        """Return what the seeder is to take for there: what is copied or verified here nobody is to fetch."""
        return self._policy.have[info_hash] | self._policy.coming(info_hash)

    def _urgent(self) -> dict[InfoHash, sets.Pieces]:
        torrents = {info_hash for info_hash, _ in self.urgent}
        return {h: sets.of(index for torrent, index in self.urgent if torrent == h) for h in torrents}

    def answered(self, handout: Handout | None, *, now_s: float) -> None:
        """Pass on what the seeder has handed out; None if it did not answer."""
        if handout is None:
            self._policy.announce_failed(now_s=now_s)
            return
        self._introduction.answered()
        self._policy.handout_arrived(handout, now_s=now_s)
        self.heard.is_stage0_wanted |= handout.is_stage0_wanted
        self.heard.stage0_from = handout.stage0_from or self.heard.stage0_from
        self.heard.is_hidden |= handout.is_hidden
        self.heard.uplink_bytes_per_s = handout.uplink_bytes_per_s

    def refused(self, node: NodeId, *, now_s: float) -> None:
        """Go on under another name: whoever took this one must not end this boot."""
        is_news = node == self._counters.node  # of two announces under way the first brings it
        if is_news:
            self._counters.take_new_name()
        self._policy.announce_refused(is_news=is_news, now_s=now_s)

    def unproved(self, error: ProofRefusedError, *, is_news: bool, now_s: float) -> None:
        """Go on alone, and say why the seeder does not help if it is news."""
        if is_news:
            self._tell(f"{error}; going on without its help")
        self._policy.announce_failed(now_s=now_s)
