"""Who is in the swarm, what each node has, and which pieces are leased to whom.

Pure state: facts go in with the time at which they became known, and nothing here touches a socket, a path or a clock.
What to do about the facts is decided in `seeder.policy.granting` and its like; this module will not choose anything.
"""

from __future__ import annotations

from collections import Counter

from seeder.policy.facts.leases import Book
from seeder.policy.facts.node import Doubt, ImpostorError, Node, Roster
from seeder.policy.facts.node_leases import NodeLeases
from seeder.policy.facts.standing import Standing
from seeder.policy.facts.torrent_state import Torrent, TorrentState
from swarmboot.codec import DecodeError
from swarmboot.ids import InfoHash, NodeId
from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces
from swarmboot.wire.announce import Announce, NodeState

STRANGERS_MAX = 8192
"""So many nodes without credit are remembered; beyond that those are forgotten that have been silent longest."""

OVERTAKEN_MS = 60_000
"""Longer than any announce is under way: what was sent earlier than that comes from a clock that has begun anew."""


class Registry:
    """The nodes, their pieces and their leases, as of the facts told so far.

    `far_links` counts for each rack the links of its nodes that leave it.
    """

    def __init__(self) -> None:
        self.nodes: dict[NodeId, Node] = {}
        self.torrents: dict[InfoHash, TorrentState] = {}
        self.everyone = Roster()
        self.racks: dict[str, Roster] = {}
        self.far_links: Counter[str] = Counter()
        self.book = Book(self.torrents)
        self.standing = Standing(self.torrents)
        self.leases = NodeLeases(self.book, self.standing)
        self._belief_changes = 0
        self._is_held_stale = False
        self._is_fetched_stale = False

    @property
    def open_leases(self) -> int:
        """Return how many leases there are whose bytes are still on their way."""
        return self.book.in_pipe

    @property
    def granted(self) -> int:
        """Return how many leases there ever were."""
        return self.book.granted

    def add_torrent(self, torrent: Torrent) -> None:
        """Make a torrent known; of one that is known already only what a boot reads may have become another."""
        self.torrents.setdefault(torrent.info_hash, TorrentState(torrent)).torrent = torrent

    def forget_torrent(self, info_hash: InfoHash) -> bool:
        """Forget a torrent, unless a node has pieces of it or a lease for them; return whether it is forgotten."""
        is_used = any(
            info_hash in node.have or any(lease.info_hash == info_hash for lease in node.leases.values())
            for node in self.nodes.values()
        )
        if not is_used:
            self.torrents.pop(info_hash, None)
        return not is_used

    def is_overtaken(self, announce: Announce, *, host: str) -> bool:
        """Return whether a node that may speak has sent a later announce, which arrived before this one.

        By how it stands then it lacks pieces again that it has, and would be leased them once more.
        """
        node = self.nodes.get(announce.node)
        if node is None or announce.state is NodeState.LEAVING or not node.may_speak(announce.key, host):
            return False
        return bool(announce.sent_ms) and 0 < node.said_ms - announce.sent_ms < OVERTAKEN_MS

    def take_up(self, announce: Announce, *, now_s: float) -> None:
        """Take from an announce that was overtaken what only it says: which leases are received or given back."""
        self._take_leases(self.nodes[announce.node], announce, now_s)

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
        if node.doubts and announce.from_neighbours_bytes > node.from_neighbours_bytes:
            self._believe_again(node, have)
        self._measure(node, announce, now_s, measure_s)
        if announce.port and (is_new or node.is_starting):
            self._become_dialable(node, now_s)
        self.standing.hear(node, host, is_hidden=announce.own_end not in ("", host))
        node.host, node.port, node.http_port = host, announce.port, announce.http_port
        node.state, node.is_starving, node.have = announce.state, announce.is_starving, have
        node.sequence = announce.sequence
        node.serves, node.serves_bytes_per_s = announce.serves, announce.serves_bytes_per_s
        node.loads_sent = announce.loads_sent
        self._hold(node)
        node.said_ms = announce.sent_ms
        self.leases.settle(node, now_s)
        self._take_leases(node, announce, now_s)
        if node.is_starving:
            self._doubt(node)
        return node

    def _take_leases(self, node: Node, announce: Announce, now_s: float) -> None:
        for lease in announce.received:
            self.leases.receive(node, lease, now_s)
        for lease in announce.returned:
            self.leases.give_back(node, lease)

    def _enlist(self, announce: Announce, host: str, now_s: float) -> Node:
        node = Node(announce.node, host, announce.port, announce.http_port, announce.rack, announce.state, now_s, now_s)
        node.measured_s, node.measured_bytes, node.key = now_s, announce.from_neighbours_bytes, announce.key
        self.nodes[node.id] = node
        self.standing.add(node)
        self.everyone.add(node)
        self.racks.setdefault(node.rack, Roster()).add(node)
        return node

    def _become_dialable(self, node: Node, now_s: float) -> None:
        """Count a node's time from now on, when it can be dialled: only now can it show what it has received."""
        node.joined_s = self.racks[node.rack].grown_s = now_s
        for lease in node.leases.values():
            lease.renew(now_s)

    def _pieces_of(self, announce: Announce) -> dict[InfoHash, Pieces]:
        have = {}
        for info_hash, data in announce.have.items():
            state = self.torrents.get(info_hash)
            if state is None:
                raise DecodeError(f"torrent {info_hash.hex()[:16]} is not published here")
            try:
                have[info_hash] = piece_set.decode(data, state.torrent.count)
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
            from_origin_bytes = max(0, announce.from_origin_bytes - node.measured_origin_bytes)
            if 3 * from_origin_bytes >= gained_bytes > 0:
                node.rate_while_leased = (gained_bytes + from_origin_bytes) / max(1.0, elapsed_s)
            node.measured_s, node.measured_bytes = now_s, announce.from_neighbours_bytes
            node.measured_origin_bytes = announce.from_origin_bytes
        node.from_neighbours_bytes = announce.from_neighbours_bytes
        node.from_origin_bytes = announce.from_origin_bytes
        node.seen_s = now_s

    def _hold(self, node: Node) -> None:
        for info_hash, have in node.have.items():
            state = self.torrents[info_hash]
            if node.is_believed:
                state.held |= have
            if node.is_believed and have == state.all:
                state.seeds.add(node.id)
            else:
                state.seeds.discard(node.id)
            if node.state is NodeState.FETCHING:
                state.fetched |= have if node.is_believed else 0
                state.fetchers.add(node.id)
                if node.credit > 0:
                    state.known.add(node.id)
            else:
                state.fetchers.discard(node.id)
                state.known.discard(node.id)

    def _doubt(self, node: Node) -> None:
        """Doubt, for this node, that anybody has or brings what it lacks: it has been waiting for that in vain."""
        for info_hash, have in node.have.items():
            state = self.torrents[info_hash]
            node.doubts[info_hash] = Doubt(state.all & ~have, state.sent)

    def _believe_again(self, node: Node, have: dict[InfoHash, Pieces]) -> None:
        """Drop a node's doubts if its neighbours have brought it a piece that was in doubt."""
        for info_hash, doubt in list(node.doubts.items()):
            gained = have.get(info_hash, 0) & doubt.of(self.torrents[info_hash])
            for lease in node.leases.values() if gained else ():
                gained &= ~piece_set.span(lease.first, lease.count) if lease.info_hash == info_hash else ~0
            if gained:
                del node.doubts[info_hash]

    def begun(self, host: str, info_hash: InfoHash, first: int, count: int) -> None:
        """Occurs when somebody at `host` asks this seeder itself for a run of pieces."""
        self.book.begin(host, info_hash, first, count)

    def went_out(self, host: str, info_hash: InfoHash, first: int, count: int) -> None:
        """Occurs when a run of pieces has gone out to `host` from this seeder itself."""
        lease = self.book.fetch(host, info_hash, first, count)
        node = self.nodes.get(lease.node) if lease is not None else None
        if node is not None:
            self.standing.give_credit(node, 1)

    def link(self, node: Node, other: Node) -> None:
        """Record that two nodes were introduced to each other."""
        if other.id not in node.links:
            node.links.add(other.id)
            other.links.add(node.id)
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
        self.standing.remove(node)
        for info_hash in node.have:
            self.torrents[info_hash].seeds.discard(node_id)
            self.torrents[info_hash].fetchers.discard(node_id)
            self.torrents[info_hash].known.discard(node_id)
        self.leases.close_all(node)
        for link in node.links:
            other = self.nodes[link]
            other.links.discard(node_id)
            other.near_links -= other.rack == node.rack
            if other.rack != node.rack:
                self.far_links.subtract((node.rack, other.rack))
        if not self.racks[node.rack]:
            del self.racks[node.rack], self.far_links[node.rack]
        self._is_fetched_stale |= node.state is NodeState.FETCHING
        self._is_held_stale |= not all(self._has_seed(self.torrents[info_hash]) for info_hash in node.have)

    def _has_seed(self, state: TorrentState) -> bool:
        """Return whether a node has all of a torrent, so that it is held whoever else leaves."""
        seeds = (self.nodes.get(node_id) for node_id in state.seeds)
        return any(seed is not None and seed.have.get(state.torrent.info_hash) == state.all for seed in seeds)

    def expire(self, *, now_s: float, silent_s: float) -> tuple[NodeId, ...]:
        """Forget nodes silent for longer than `silent_s` and void leases that have timed out; return those nodes."""
        silent = [node.id for node in self.nodes.values() if now_s - node.seen_s > silent_s]
        for node_id in silent:
            self.forget(node_id)
        while len(self.standing.strangers) > STRANGERS_MAX:
            silent.append(next(iter(self.standing.strangers)))
            self.forget(silent[-1])
        for node in [node for node in self.nodes.values() if node.leases]:
            self.leases.expire(node, now_s)
        self.book.forget_traces(now_s)
        return tuple(silent)

    def torrent_state(self, info_hash: InfoHash) -> TorrentState:
        """Return what the swarm has of a torrent; `held` is counted anew if a node has left or lost pieces."""
        if self._is_held_stale or self._belief_changes != self.standing.belief_changes:
            self._is_held_stale, self._belief_changes = False, self.standing.belief_changes
            for state in self.torrents.values():
                state.held = state.fetched = 0
            for node in self.nodes.values():
                self._hold(node)
        return self.torrents[info_hash]

    def fetched(self, info_hash: InfoHash) -> Pieces:
        """Return what nodes that are still booting have of a torrent, counted anew if one is done."""
        if self._is_fetched_stale:
            self._is_fetched_stale = False
            self._is_held_stale = True
        return self.torrent_state(info_hash).fetched
