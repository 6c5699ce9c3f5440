"""Who is in the swarm, what each node has, and which pieces are leased to whom.

Pure state: facts go in with the time at which they became known, and nothing here touches a socket, a path or a clock.
What to do about the facts is decided in `seeder.policy.handout`; this module will not choose anything.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict

from seeder.http.crowd import counted_as
from seeder.policy.leases import SHOW_S, STALL_S, START_MAX_S, Book, OpenLease, idle_from_s
from seeder.policy.node import Doubt, ImpostorError, Node, Roster, Tally
from seeder.policy.torrent_state import Torrent, TorrentState
from swarmboot.codec import DecodeError
from swarmboot.ids import InfoHash, LeaseId, NodeId, PieceIndex
from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces
from swarmboot.wire.announce import Announce, Lease, NodeState

STRANGERS_MAX = 8192
"""So many nodes without credit are remembered; beyond that those are forgotten that have been silent longest."""


class Registry:
    """The nodes, their pieces and their leases, as of the facts told so far.

    `far_links` counts for each rack the links of its nodes that leave it, `known_at` the nodes with credit at each
    address, `known_near` the same by what an address is counted under (`seeder.http.crowd`). `known` are those nodes,
    `strangers` the others, the longest silent first. `hidden_at` counts those that come through a proxy or NAT.
    """

    def __init__(self) -> None:
        self.nodes: dict[NodeId, Node] = {}
        self.torrents: dict[InfoHash, TorrentState] = {}
        self.everyone = Roster()
        self.known = Roster()
        self.racks: dict[str, Roster] = {}
        self.far_links: Counter[str] = Counter()
        self.known_at = Tally()
        self.known_near = Tally()
        self.hidden_at = Tally()
        self.strangers: OrderedDict[NodeId, None] = OrderedDict()
        self.book = Book(self.torrents)
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
        """Make a torrent known; one that is known already stays as it is."""
        self.torrents.setdefault(torrent.info_hash, TorrentState(torrent))

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
        if node.doubts and announce.from_neighbours_bytes > node.from_neighbours_bytes:
            self._believe_again(node, have)
        self._measure(node, announce, now_s, measure_s)
        if announce.port and (is_new or node.is_starting):
            self._open_doors(node, now_s)
        if node.credit > 0 and node.host != host:
            self._count_known(node.host, -1)
            self._count_known(host, 1)
        if node.credit <= 0:
            self.strangers.move_to_end(node.node)
        self._hide_behind(node, host, is_hidden=announce.own_end not in ("", host))
        node.host, node.port, node.http_port = host, announce.port, announce.http_port
        node.state, node.is_starving, node.have = announce.state, announce.is_starving, have
        node.serves, node.serves_bytes_per_s = announce.serves, announce.serves_bytes_per_s
        self._hold(node)
        self._settle(node, now_s)
        for lease in announce.received:
            self._receive(node, lease, now_s)
        for lease in announce.returned:
            self._give_back(node, lease)
        if node.is_starving:
            self._doubt(node)
        return node

    def _enlist(self, announce: Announce, host: str, now_s: float) -> Node:
        node = Node(announce.node, host, announce.port, announce.http_port, announce.rack, announce.state, now_s, now_s)
        node.measured_s, node.measured_bytes, node.key = now_s, announce.from_neighbours_bytes, announce.key
        self.nodes[node.node] = node
        self.strangers[node.node] = None
        self.everyone.add(node)
        self.racks.setdefault(node.rack, Roster()).add(node)
        return node

    def _open_doors(self, node: Node, now_s: float) -> None:
        """Count a node's time from now on, when it can be dialled: only now can it show what it has received."""
        node.joined_s = self.racks[node.rack].grown_s = now_s
        for lease in node.leases.values():
            lease.renew(now_s)

    def _pieces_of(self, announce: Announce) -> dict[InfoHash, Pieces]:
        have = {}
        for info_hash, data in announce.have.items():
            holdings = self.torrents.get(info_hash)
            if holdings is None:
                raise DecodeError(f"torrent {info_hash.hex()[:16]} is not published here")
            try:
                have[info_hash] = piece_set.decode(data, holdings.torrent.count)
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
            holdings = self.torrents[info_hash]
            if node.is_believed:
                holdings.held |= have
            if node.is_believed and have == holdings.all:
                holdings.seeds.add(node.node)
            else:
                holdings.seeds.discard(node.node)
            if node.state is NodeState.FETCHING:
                holdings.fetched |= have if node.is_believed else 0
                holdings.fetchers.add(node.node)
                if node.credit > 0:
                    holdings.known.add(node.node)
            else:
                holdings.fetchers.discard(node.node)
                holdings.known.discard(node.node)

    def _doubt(self, node: Node) -> None:
        """Doubt, for this node, that anybody has or brings what it lacks: it has been waiting for that in vain."""
        for info_hash, have in node.have.items():
            holdings = self.torrents[info_hash]
            node.doubts[info_hash] = Doubt(holdings.all & ~have, holdings.sent)

    def _believe_again(self, node: Node, have: dict[InfoHash, Pieces]) -> None:
        """Drop a node's doubts if its neighbours have brought it a piece that was in doubt."""
        for info_hash, doubt in list(node.doubts.items()):
            gained = have.get(info_hash, 0) & doubt.of(self.torrents[info_hash])
            for lease in node.leases.values() if gained else ():
                gained &= ~piece_set.span(lease.first, lease.count) if lease.info_hash == info_hash else ~0
            if gained:
                del node.doubts[info_hash]

    def _give_credit(self, node: Node, change: int) -> None:
        """Count that a node has fetched a lease, or let one lapse."""
        was, node.credit = node.credit, node.credit + change
        if (was > 0) != (node.credit > 0):
            self._know(node, is_known=node.credit > 0)
        if (was >= 0) != (node.credit >= 0):
            self._is_held_stale = True

    def _know(self, node: Node, *, is_known: bool) -> None:
        """Take a node for one of those with credit, or for a stranger."""
        self._count_known(node.host, 1 if is_known else -1)
        if is_known:
            self.known.add(node)
            self.strangers.pop(node.node, None)
        else:
            self.known.remove(node)
            self.strangers[node.node] = None
        for info_hash in node.have:
            holdings = self.torrents[info_hash]
            if is_known and node.node in holdings.fetchers:
                holdings.known.add(node.node)
            else:
                holdings.known.discard(node.node)

    def _hide_behind(self, node: Node, host: str, *, is_hidden: bool) -> None:
        """Take note whether a node comes through a proxy or NAT at `host`."""
        if node.is_hidden != is_hidden or node.host != host:
            self.hidden_at.change(node.host, -1 if node.is_hidden else 0)
            self.hidden_at.change(host, 1 if is_hidden else 0)
            node.is_hidden = is_hidden

    def _count_known(self, host: str, change: int) -> None:
        """Count a node with credit at an address, and at what that address is counted under."""
        self.known_at.change(host, change)
        self.known_near.change(counted_as(host), change)

    def begun(self, host: str, info_hash: InfoHash, first: int, count: int) -> None:
        """Occurs when somebody at `host` asks the seeder's own door for a run of pieces."""
        self.book.begin(host, info_hash, first, count)

    def went_out(self, host: str, info_hash: InfoHash, first: int, count: int) -> None:
        """Occurs when a run of pieces has gone out to `host` through the seeder's own door."""
        lease = self.book.fetch(host, info_hash, first, count)
        node = self.nodes.get(lease.node) if lease is not None else None
        if node is not None:
            self._give_credit(node, 1)

    def _settle(self, node: Node, now_s: float) -> None:
        """Close leases whose pieces have arrived; progress on a lease renews it."""
        for lease in list(node.leases.values()):
            left = lease.awaited & ~node.have.get(lease.info_hash, 0)
            if not left:
                self._lapse(node, lease, is_so=lease.has_lapsed and not lease.is_begun)
                self._void(node, lease.lease)
            elif left != lease.awaited:
                self.book.gain(lease, left)
                lease.renew(now_s)

    def _receive(self, node: Node, lease: LeaseId, now_s: float) -> None:
        """Free a lease's place in the pipe; its pieces stay leased until they are announced as verified.

        Once, and for a moment: what the seeder would have seen and has not is not believed.
        """
        open_lease = node.leases.get(lease)
        if open_lease is not None and not open_lease.is_received:
            self.book.receive(open_lease)
            if not open_lease.has_lapsed:
                open_lease.renew(now_s)
            elif self.book.has_seen and not open_lease.is_idle:
                self._lapse(node, open_lease, is_so=True)
                self.book.idle(open_lease)

    def _give_back(self, node: Node, lease: LeaseId) -> None:
        """Take back a lease; to give it back without having asked for its bytes is to let it lapse."""
        open_lease = node.leases.get(lease)
        if open_lease is not None:
            self._lapse(node, open_lease, is_so=open_lease.has_lapsed and not open_lease.is_begun)
            self._void(node, lease)

    def _lapse(self, node: Node, lease: OpenLease, *, is_so: bool) -> None:
        if is_so and (lease.is_shared or not lease.is_idle) and self.book.has_seen:
            self._give_credit(node, -1)
            self.book.lapse(lease.host)

    def _void(self, node: Node, lease: LeaseId) -> None:
        open_lease = node.leases.pop(lease, None)
        if open_lease is not None:
            self.book.close(open_lease)

    def grant(
        self,
        node: Node,
        info_hash: InfoHash,
        first: PieceIndex,
        count: int,
        *,
        now_s: float,
        lease_timeout_s: float,
        origin: int = 0,
        is_shared: bool = False,
    ) -> Lease:
        """Return a new lease of these pieces to `node`, on record until they arrive, it is returned or it expires.

        It expires after `lease_timeout_s`; each sign of progress leaves it `STALL_S` at least, but no longer in all
        than with a sign for every piece, or `START_MAX_S`. Others may take over one that is shared.
        """
        self.book.granted += 1
        lease = LeaseId(self.book.granted)
        most_s = max(START_MAX_S, lease_timeout_s + (count + 2) * STALL_S)
        node.leases[lease] = OpenLease(
            lease, node.node, node.host, info_hash, first, count, piece_set.span(first, count),
            granted_s=now_s, expires_s=now_s + lease_timeout_s, ends_s=now_s + most_s,
            is_seen=origin == 0, is_shared=is_shared,
        )  # fmt: skip
        self.book.open(node.leases[lease])
        if is_shared:
            self.book.idle(node.leases[lease])
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
        self._hide_behind(node, node.host, is_hidden=False)
        self.strangers.pop(node_id, None)
        if node.credit > 0:
            self._know(node, is_known=False)
            del self.strangers[node_id]
        for info_hash in node.have:
            self.torrents[info_hash].seeds.discard(node_id)
            self.torrents[info_hash].fetchers.discard(node_id)
            self.torrents[info_hash].known.discard(node_id)
        for lease in list(node.leases):
            self._void(node, lease)
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

    def _has_seed(self, holdings: TorrentState) -> bool:
        """Return whether a node has all of a torrent, so that it is held whoever else leaves."""
        seeds = (self.nodes.get(node_id) for node_id in holdings.seeds)
        return any(seed is not None and seed.have.get(holdings.torrent.info_hash) == holdings.all for seed in seeds)

    def expire(self, *, now_s: float, silent_s: float) -> tuple[NodeId, ...]:
        """Forget nodes silent for longer than `silent_s` and void leases that have timed out; return those nodes."""
        silent = [node.node for node in self.nodes.values() if now_s - node.seen_s > silent_s]
        for node_id in silent:
            self.forget(node_id)
        while len(self.strangers) > STRANGERS_MAX:
            silent.append(next(iter(self.strangers)))
            self.forget(silent[-1])
        for node in [node for node in self.nodes.values() if node.leases]:
            self._expire_leases(node, now_s)
        self.book.forget_traces(now_s)
        return tuple(silent)

    def _expire_leases(self, node: Node, now_s: float) -> None:
        """Void a node's leases that have timed out; what a starting node has fetched it is given time to show."""
        for lease in list(node.leases.values()):
            if lease.is_fetched and lease.shown_s == math.inf:
                lease.shown_s = now_s + SHOW_S
            is_kept = node.is_starting and lease.is_received and not lease.has_lapsed
            kept_s = lease.granted_s + START_MAX_S if is_kept else 0.0
            if max(kept_s, lease.expires_s) <= now_s:
                self._lapse(node, lease, is_so=lease.has_lapsed)
                self._hide(node, lease)
                self._void(node, lease.lease)
            elif idle_from_s(lease, is_starting=node.is_starting) <= now_s:
                self._lapse(node, lease, is_so=lease.has_lapsed)
                self.book.idle(lease)

    def _hide(self, node: Node, lease: OpenLease) -> None:
        """Count against a node that it has fetched pieces and not shown them in time."""
        if lease.is_fetched and lease.awaited:
            self._give_credit(node, -2)
            self.book.lapse(lease.host)

    def holdings(self, info_hash: InfoHash) -> TorrentState:
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
