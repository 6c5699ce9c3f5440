"""One node as the seeder knows it, and nodes in no order. Values only; `seeder.policy.facts.registry` keeps them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hmac import compare_digest
from random import Random

from seeder.policy.facts.leases import OpenLease
from seeder.policy.facts.torrent_state import TorrentState
from swarmboot.ids import Digest, InfoHash, LeaseId, NodeId, NodeKey
from swarmboot.release.piece_set import Pieces
from swarmboot.wire.announce import NodeState


class ImpostorError(ValueError):
    """Occurs when somebody speaks for a node that another began: with another key or, without one, elsewhere."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What a starving node lacked of a torrent although others had it or fetched it; `sent` as it was then."""

    lacking: Pieces
    sent: Pieces

    def of(self, state: TorrentState) -> Pieces:
        """Return the pieces in doubt that no lease has brought to anybody since."""
        return self.lacking & ~(state.sent & ~self.sent)


@dataclass(slots=True)
class Node:
    """What is known of one node; `near_links` of its links stay in its rack.

    `rate_from_neighbours` is in bytes per second, since `measured_s`, when it had received `measured_bytes` from
    them, or over the time before that if it was more; `rate_while_leased` is what came in all over the last such
    time in which the origin sent a quarter of it or more, 0 if there was none. `sequence` is its release's.
    `credit` is how many more of its leases were fetched than were let lapse; `doubts` are about pieces that others
    say they have. `is_hidden` where a proxy or NAT stands between, as the node's own end of its connection has
    another address than `host`. `said_ms` is when it sent its last announce, in milliseconds on its own clock, 0 if it
    does not say. Times in seconds, on whatever clock the caller uses.
    """

    id: NodeId
    host: str
    port: int
    http_port: int
    rack: str
    state: NodeState
    joined_s: float
    seen_s: float
    have: dict[InfoHash, Pieces] = field(default_factory=dict)
    leases: dict[LeaseId, OpenLease] = field(default_factory=dict)
    links: set[NodeId] = field(default_factory=set)
    near_links: int = 0
    is_starving: bool = False
    from_neighbours_bytes: int = 0
    from_origin_bytes: int = 0
    rate_from_neighbours: float = 0.0
    measured_s: float = 0.0
    measured_bytes: int = 0
    measured_origin_bytes: int = 0
    rate_while_leased: float = 0.0
    serves: tuple[Digest, ...] = ()
    serves_bytes_per_s: int = 0
    loads_sent: int | None = None
    key: NodeKey = field(default=NodeKey(b""), repr=False)
    credit: int = 0
    doubts: dict[InfoHash, Doubt] = field(default_factory=dict)
    is_hidden: bool = False
    sequence: int = 0
    said_ms: int = 0

    def may_speak(self, key: NodeKey, host: str) -> bool:
        """Return whether who comes with this key is who began the node; without a key its address must be the same."""
        return compare_digest(key, self.key) if self.key else not key and host == self.host

    @property
    def is_starting(self) -> bool:
        """Return whether the node cannot be dialled yet and what it receives is not verified yet."""
        return not self.port

    @property
    def is_believed(self) -> bool:
        """Return whether what it says it has counts: not after it has let more than two leases lapse."""
        return self.credit >= -2

    @property
    def is_complete(self) -> bool:
        """Return whether the node has everything it wants."""
        return self.state is NodeState.COMPLETE


class Tally(Counter[str]):
    """How many there are of each name; a name of which there are none is not kept."""

    def change(self, name: str, by: int) -> None:
        """Count `by` more, or fewer."""
        count = self[name] + by
        if count:
            self[name] = count
        else:
            self.pop(name, None)


class Roster:
    """Nodes in no order, with constant time to add, remove and pick one at random.

    `grown_s` is when one of them could last be dialled for the first time.
    """

    def __init__(self) -> None:
        self.grown_s = -math.inf
        self._nodes: list[Node] = []
        self._indices: dict[NodeId, int] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes)

    def add(self, node: Node) -> None:
        """Add a node that is not there."""
        self._indices[node.id] = len(self._nodes)
        self._nodes.append(node)

    def remove(self, node: Node) -> None:
        """Remove a node that is there."""
        index, last = self._indices.pop(node.id), self._nodes.pop()
        if last is not node:
            self._nodes[index] = last
            self._indices[last.id] = index

    def pick(self, random: Random) -> Node:
        """Return a node at random."""
        return self._nodes[int(random.random() * len(self._nodes))]
