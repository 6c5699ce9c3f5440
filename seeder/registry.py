"""Who is in the swarm, what each node has, and which pieces are leased to whom.

Pure state: facts go in with the time at which they became known, and nothing here touches a socket, a path or a clock.
What to do about the facts is decided in `seeder.handout`; this module will not choose anything.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hmac import compare_digest
from random import Random

from swarmboot import pieces
from swarmboot.codec import DecodeError
from swarmboot.ids import Digest, InfoHash, LeaseId, NodeId, NodeKey, PieceIndex
from swarmboot.pieces import Pieces
from swarmboot.wire import Announce, Lease, NodeState

STALL_S = 2.0
"""A lease that gains no piece for this long, and for three times what a fair share of the uplink needs, is void."""


class ImpostorError(ValueError):
    """Occurs when somebody speaks for a node that another began: with another key or, without one, elsewhere."""


@dataclass(frozen=True, slots=True)
class Torrent:
    """One artifact that nodes swap: its size and pieces."""

    info_hash: InfoHash
    size_bytes: int
    piece_bytes: int

    @property
    def count(self) -> int:
        """Return the number of pieces."""
        return -(-self.size_bytes // self.piece_bytes)


@dataclass(slots=True)
class Node:
    """What is known of one node; `near_links` of its links stay in its rack.

    `rate_from_neighbours` is in bytes per second, since `measured_s`, when it had received `measured_bytes` from them,
    or over the time before that if it was more. Times in seconds, on whatever clock the caller uses.
    """

    node: NodeId
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
    serves: tuple[Digest, ...] = ()
    serves_bytes_per_s: int = 0
    key: NodeKey = field(default=NodeKey(b""), repr=False)

    def may_speak(self, key: NodeKey, host: str) -> bool:
        """Return whether who comes with this key is who began the node; without a key its address must be the same."""
        return compare_digest(key, self.key) if self.key else not key and host == self.host

    @property
    def is_starting(self) -> bool:
        """Return whether the node cannot be dialled yet and what it receives is not verified yet."""
        return not self.port

    @property
    def is_complete(self) -> bool:
        """Return whether the node has everything it wants."""
        return self.state is NodeState.COMPLETE


@dataclass(slots=True)
class OpenLease:
    """A lease that is not fulfilled yet: the pieces still awaited, when it becomes void, whether its bytes are in."""

    lease: LeaseId
    info_hash: InfoHash
    awaited: Pieces
    expires_s: float
    is_received: bool = False


@dataclass(slots=True)
class Holdings:
    """What the whole swarm has of one torrent.

    `held` is what any node has, `fetched` what nodes still booting have, `leased` what is on its way from an origin;
    `seeds` have all of it, `fetchers` are still booting. `all` is the set of all its pieces.
    """

    torrent: Torrent
    all: Pieces = field(init=False)
    held: Pieces = 0
    fetched: Pieces = 0
    leased: Pieces = 0
    seeds: set[NodeId] = field(default_factory=set)
    fetchers: set[NodeId] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.all = pieces.all_pieces(self.torrent.count)


class Roster:
    """Nodes in no order, with constant time to add, remove and pick one at random.

    `grown_s` is when one of them could last be dialled for the first time.
    """

    def __init__(self) -> None:
        self.grown_s = -math.inf
        self._nodes: list[Node] = []
        self._places: dict[NodeId, int] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes)

    def add(self, node: Node) -> None:
        """Add a node that is not there."""
        self._places[node.node] = len(self._nodes)
        self._nodes.append(node)

    def remove(self, node: Node) -> None:
        """Remove a node that is there."""
        place, last = self._places.pop(node.node), self._nodes.pop()
        if last is not node:
            self._nodes[place] = last
            self._places[last.node] = place

    def pick(self, random: Random) -> Node:
        """Return a node at random."""
        return self._nodes[int(random.random() * len(self._nodes))]


class Registry:
    """The nodes, their pieces and their leases, as of the facts told so far.

    `open_leases` counts those whose bytes are still on their way, `granted` all there ever were; `far_links` counts for
    each rack the links of its nodes that leave it.
    """

    def __init__(self) -> None:
        self.nodes: dict[NodeId, Node] = {}
        self.torrents: dict[InfoHash, Holdings] = {}
        self.everyone = Roster()
        self.racks: dict[str, Roster] = {}
        self.far_links: Counter[str] = Counter()
        self.open_leases = 0
        self.granted = 0
        self._is_held_stale = False
        self._is_fetched_stale = False

    def add_torrent(self, torrent: Torrent) -> None:
        """Make a torrent known; one that is known already stays as it is."""
        self.torrents.setdefault(torrent.info_hash, Holdings(torrent))

    def forget_torrent(self, info_hash: InfoHash) -> bool:
        """Forget a torrent, unless a node has pieces of it or a lease for them; return whether it is forgotten."""
        is_used = any(
            info_hash in node.have or any(lease.info_hash == info_hash for lease in node.leases.values())
            for node in self.nodes.values()
        )
        if not is_used:
            self.torrents.pop(info_hash, None)
        return not is_used

    def observe(self, announce: Announce, *, host: str, now_s: float, measure_s: float = 1.0) -> Node:
        """Take in an announce and return its node, its leases settled by what it has.

        What neighbours send it is measured over `measure_s` at least. Raises ImpostorError, and changes nothing, if it
        is another's node, and DecodeError if it names a torrent that is not known or a set of pieces that does not fit.
        """
        began = self.nodes.get(announce.node)
        if began is not None and not began.may_speak(announce.key, host):
            raise ImpostorError("this node id belongs to another; announce under a new one")
        have = self._pieces_of(announce)
        is_new = announce.node not in self.nodes
        node = self._enlist(announce, host, now_s) if is_new else self.nodes[announce.node]
        self._is_fetched_stale |= node.state is NodeState.FETCHING and announce.state is not NodeState.FETCHING
        self._is_held_stale |= any(had & ~have.get(torrent, 0) for torrent, had in node.have.items())
        self._measure(node, announce, now_s, measure_s)
        if announce.port and (is_new or node.is_starting):
            self._open_doors(node, now_s)
        node.host, node.port, node.http_port = host, announce.port, announce.http_port
        node.state, node.is_starving, node.have = announce.state, announce.is_starving, have
        node.serves, node.serves_bytes_per_s = announce.serves, announce.serves_bytes_per_s
        self._hold(node)
        self._settle(node, now_s)
        for lease in announce.received:
            self._receive(node, lease, now_s)
        for lease in announce.returned:
            self._void(node, lease)
        return node

    def _enlist(self, announce: Announce, host: str, now_s: float) -> Node:
        node = Node(announce.node, host, announce.port, announce.http_port, announce.rack, announce.state, now_s, now_s)
        node.measured_s, node.measured_bytes, node.key = now_s, announce.from_neighbours_bytes, announce.key
        self.nodes[node.node] = node
        self.everyone.add(node)
        self.racks.setdefault(node.rack, Roster()).add(node)
        return node

    def _open_doors(self, node: Node, now_s: float) -> None:
        """Count a node's time from now on, when it can be dialled: only now can it show what it has received."""
        node.joined_s = self.racks[node.rack].grown_s = now_s
        for lease in node.leases.values():
            lease.expires_s = max(lease.expires_s, now_s + STALL_S)

    def _pieces_of(self, announce: Announce) -> dict[InfoHash, Pieces]:
        have = {}
        for info_hash, data in announce.have.items():
            holdings = self.torrents.get(info_hash)
            if holdings is None:
                raise DecodeError(f"torrent {info_hash.hex()[:16]} is not published here")
            try:
                have[info_hash] = pieces.decode(data, holdings.torrent.count)
            except ValueError as error:
                raise DecodeError(str(error)) from error
        return have

    def _measure(self, node: Node, announce: Announce, now_s: float, measure_s: float) -> None:
        elapsed_s = now_s - node.measured_s
        gained_bytes = max(0, announce.from_neighbours_bytes - node.measured_bytes)
        rate = gained_bytes / max(1.0, elapsed_s)
        if elapsed_s < measure_s:
            node.rate_from_neighbours = max(node.rate_from_neighbours, rate)
        else:
            node.rate_from_neighbours = rate
            node.measured_s, node.measured_bytes = now_s, announce.from_neighbours_bytes
        node.from_neighbours_bytes = announce.from_neighbours_bytes
        node.from_origin_bytes = announce.from_origin_bytes
        node.seen_s = now_s

    def _hold(self, node: Node) -> None:
        for info_hash, have in node.have.items():
            holdings = self.torrents[info_hash]
            holdings.held |= have
            if have == holdings.all:
                holdings.seeds.add(node.node)
            else:
                holdings.seeds.discard(node.node)
            if node.state is NodeState.FETCHING:
                holdings.fetched |= have
                holdings.fetchers.add(node.node)
            else:
                holdings.fetchers.discard(node.node)

    def _settle(self, node: Node, now_s: float) -> None:
        """Close leases whose pieces have arrived; progress on a lease renews its term."""
        for lease in list(node.leases.values()):
            left = lease.awaited & ~node.have.get(lease.info_hash, 0)
            if not left:
                self._void(node, lease.lease)
            elif left != lease.awaited:
                self.torrents[lease.info_hash].leased &= ~(lease.awaited & ~left)
                lease.awaited = left
                lease.expires_s = max(lease.expires_s, now_s + STALL_S)

    def _receive(self, node: Node, lease: LeaseId, now_s: float) -> None:
        """Free a lease's place in the pipe; its pieces stay leased until they are announced as verified."""
        open_lease = node.leases.get(lease)
        if open_lease is not None and not open_lease.is_received:
            open_lease.is_received = True
            open_lease.expires_s = max(open_lease.expires_s, now_s + STALL_S)
            self.open_leases -= 1

    def _void(self, node: Node, lease: LeaseId) -> None:
        open_lease = node.leases.pop(lease, None)
        if open_lease is not None:
            self.open_leases -= not open_lease.is_received
            self.torrents[open_lease.info_hash].leased &= ~open_lease.awaited

    def grant(
        self, node: Node, info_hash: InfoHash, first: PieceIndex, count: int, *, expires_s: float, origin: int = 0
    ) -> Lease:
        """Return a new lease of these pieces to `node`, on record until they arrive, it is returned or it expires."""
        self.granted += 1
        lease = LeaseId(self.granted)
        self.open_leases += 1
        awaited = pieces.span(first, count)
        self.torrents[info_hash].leased |= awaited
        node.leases[lease] = OpenLease(lease, info_hash, awaited, expires_s)
        return Lease(lease, info_hash, first, count, origin)

    def link(self, node: Node, other: Node) -> None:
        """Record that two nodes were introduced to each other."""
        if other.node not in node.links:
            node.links.add(other.node)
            other.links.add(node.node)
            is_near = node.rack == other.rack
            node.near_links += is_near
            other.near_links += is_near
            if not is_near:
                self.far_links.update((node.rack, other.rack))

    def forget(self, node_id: NodeId) -> None:
        """Remove a node, its leases and its links."""
        node = self.nodes.pop(node_id, None)
        if node is None:
            return
        self.everyone.remove(node)
        self.racks[node.rack].remove(node)
        for info_hash in node.have:
            self.torrents[info_hash].seeds.discard(node_id)
            self.torrents[info_hash].fetchers.discard(node_id)
        for lease in list(node.leases):
            self._void(node, lease)
        for link in node.links:
            other = self.nodes[link]
            other.links.discard(node_id)
            other.near_links -= other.rack == node.rack
            if other.rack != node.rack:
                self.far_links.subtract((node.rack, other.rack))
        self._is_fetched_stale |= node.state is NodeState.FETCHING
        self._is_held_stale |= not all(self._has_seed(self.torrents[info_hash]) for info_hash in node.have)

    def _has_seed(self, holdings: Holdings) -> bool:
        """Return whether a node has all of a torrent, so that it is held whoever else leaves."""
        seeds = (self.nodes.get(node_id) for node_id in holdings.seeds)
        return any(seed is not None and seed.have.get(holdings.torrent.info_hash) == holdings.all for seed in seeds)

    def expire(self, *, now_s: float, silent_s: float) -> tuple[NodeId, ...]:
        """Forget nodes silent for longer than `silent_s` and void leases past their term; return those nodes."""
        silent = tuple(node.node for node in self.nodes.values() if now_s - node.seen_s > silent_s)
        for node_id in silent:
            self.forget(node_id)
        for node in self.nodes.values():
            for lease in [lease for lease in node.leases.values() if lease.expires_s <= now_s]:
                if not (node.is_starting and lease.is_received):
                    self._void(node, lease.lease)
        return silent

    def holdings(self, info_hash: InfoHash) -> Holdings:
        """Return what the swarm has of a torrent; `held` is counted anew if a node has left or lost pieces."""
        if self._is_held_stale:
            self._is_held_stale = False
            for holdings in self.torrents.values():
                holdings.held = holdings.fetched = 0
            for node in self.nodes.values():
                self._hold(node)
        return self.torrents[info_hash]

    def fetched(self, info_hash: InfoHash) -> Pieces:
        """Return what nodes that are still booting have of a torrent, counted anew if one is done."""
        if self._is_fetched_stale:
            self._is_fetched_stale = False
            self._is_held_stale = True
        return self.holdings(info_hash).fetched
