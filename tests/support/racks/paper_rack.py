"""A rack on paper: the seeder's tracker and the leechers' policies on simulated time, swapping over a perfect LAN.

For tests of decisions only. Every origin byte is paced by the origin's rate; a piece reaches a neighbour `swap_s` after
the first node has it. No socket, no clock.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from leecher.policy.node_policy import Policy, Wanted
from leecher.policy.requests import AnnounceRequest, ConnectRequest, FetchRequest, PieceRange
from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import Torrent
from seeder.policy.limits import Limits
from seeder.policy.tracker import Answer, Tracker
from swarmboot.ids import InfoHash, NodeId, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.announce import Announce, Handout

INFO_HASH = InfoHash(b"i" * 32)
PIECE_BYTES = 1 << 16


@dataclass(slots=True)
class PaperNode:
    """One node of the rack."""

    node: NodeId
    policy: Policy
    host: str
    port: int = 1
    neighbours: set[tuple[str, int]] = field(default_factory=set)
    is_dead: bool = False
    done_s: float | None = None
    from_neighbours: int = 0
    from_origin: int = 0
    wake_s: float = 0.0


class PaperRack:
    """A seeder, an origin and nodes. `sent` counts how often each piece left the origin."""

    def __init__(
        self,
        count: int,
        *,
        pieces_count: int = 256,
        uplink: float = 12.5e6,
        swap_s: float = 0.05,
        arrivals: Callable[[int], float] = lambda _: 0.0,
        can_swap: bool = True,
        seed: int = 1,
        host: Callable[[int], str] = lambda index: f"10.0.{index // 200}.{index % 200 + 1}",
    ) -> None:
        self.random = Random(seed)
        self.registry = Registry()
        self.registry.add_torrent(Torrent(INFO_HASH, pieces_count * PIECE_BYTES, PIECE_BYTES))
        self.tracker = Tracker(self.registry, Limits(uplink_bytes_per_s=uplink), random=self.random)
        self.count = pieces_count
        self.uplink = uplink
        self.swap_s = swap_s
        self.can_swap = can_swap
        self.sent: Counter[int] = Counter()
        self.is_seeder_up = True
        self.expected = count
        self.now_s = 0.0
        self.nodes: list[PaperNode] = []
        self._host = host
        self._by_endpoint: dict[tuple[str, int], PaperNode] = {}
        self.others: dict[NodeId, Callable[[Handout], None]] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._origin_free_s = 0.0
        for index in range(count):
            self.at(arrivals(index), lambda index=index: self.join(index))  # type: ignore[misc]

    def at(self, when_s: float, action: Callable[[], None]) -> None:
        """Do something at a simulated time."""
        heapq.heappush(self._events, (when_s, next(self._order), action))

    def join(self, index: int) -> None:
        """Switch a node on."""
        wanted = {INFO_HASH: Wanted(INFO_HASH, self.count, PIECE_BYTES)}
        policy = Policy(wanted, origin="https://origin", now_s=self.now_s, random=Random(index))
        node = PaperNode(NodeId(index.to_bytes(16, "big")), policy, self._host(index), port=index + 1)
        self.nodes.append(node)
        self._by_endpoint[node.host, node.port] = node
        self._act(node)

    def kill(self, index: int) -> None:
        """Pull a node's plug."""
        self.nodes[index].is_dead = True

    def run(self, until_s: float = 600.0) -> None:
        """Run until every living node is complete, or fail after `until_s` simulated seconds."""
        while self._events and not self._is_over():
            self.now_s, _, action = heapq.heappop(self._events)
            assert self.now_s < until_s, "the rack does not come up"
            action()
            for answer in self.tracker.tick(now_s=self.now_s) if self.is_seeder_up else []:
                self._deliver(answer)
        assert self._is_over(), "nothing is left to happen, and nodes are not complete"

    def _is_over(self) -> bool:
        is_there = len(self.nodes) == self.expected
        return is_there and all(node.is_dead or node.done_s is not None for node in self.nodes)

    def _act(self, node: PaperNode) -> None:
        if node.is_dead:
            return
        for request in node.policy.requests(now_s=self.now_s):
            match request:
                case AnnounceRequest():
                    self._announce(node, request)
                case FetchRequest(piece_range):
                    self._fetch(node, piece_range)
                case ConnectRequest(neighbours):
                    for neighbour in neighbours:
                        if (neighbour.host, neighbour.port) in self._by_endpoint:
                            self._connect(node, self._by_endpoint[neighbour.host, neighbour.port])
        node.wake_s = wake_s = max(node.policy.next_wake_s(now_s=self.now_s), self.now_s + 0.001)
        self.at(wake_s, lambda: self._wake(node, wake_s))

    def _wake(self, node: PaperNode, wake_s: float) -> None:
        """Let a node's timer go off, unless it has been set anew since."""
        if node.wake_s == wake_s:
            self._act(node)

    def _connect(self, node: PaperNode, other: PaperNode) -> None:
        """Connect two nodes, which at once begin to send each other what they have."""
        for giver, taker in ((node, other), (other, node)):
            giver.neighbours.add((taker.host, taker.port))
            for index in piece_set.each(giver.policy.have[INFO_HASH]):
                self._swap(taker, index)

    def _swap(self, node: PaperNode, index: int) -> None:
        if self.can_swap:
            self.at(self.now_s + self.swap_s, lambda: self._arrive(node, index, is_swapped=True))

    def _announce(self, node: PaperNode, request: AnnounceRequest) -> None:
        if not self.is_seeder_up:
            self.at(self.now_s + 0.01, lambda: self._announce_failed(node))
            return
        announce = Announce(
            node=node.node,
            sequence=Sequence(1),
            state=request.state,
            port=node.port,
            have={INFO_HASH: piece_set.encode(node.policy.have[INFO_HASH], self.count)},
            free_lease_slots=request.free_lease_slots,
            received=request.received,
            returned=request.returned,
            is_starving=request.is_starving,
            from_neighbours_bytes=node.from_neighbours * PIECE_BYTES,
            urgent=self._urgent(node),
        )
        self.post(announce, host=node.host)

    def _urgent(self, node: PaperNode) -> dict[InfoHash, piece_set.Pieces]:
        """Return what a program on a node waits for; here there are none."""
        del node
        return {}

    def post(self, announce: Announce, *, host: str) -> None:
        """Have an announce come to the tracker."""
        for answer in self.tracker.announce((announce.node, self.now_s), announce, host=host, now_s=self.now_s):
            self._deliver(answer)

    def _announce_failed(self, node: PaperNode) -> None:
        node.policy.announce_failed(now_s=self.now_s)
        self._act(node)

    def _deliver(self, answer: Answer) -> None:
        node_id = answer.ticket[0]  # type: ignore[index]
        if node_id in self.others:
            self.others[node_id](answer.handout)
            return
        node = next(node for node in self.nodes if node.node == node_id)

        def arrive() -> None:
            node.policy.handout_arrived(answer.handout, now_s=self.now_s)
            self._act(node)

        self.at(self.now_s + 0.001, arrive)

    def spend(self, size_bytes: int) -> None:
        """Send bytes that help nobody over the origin's uplink."""
        self._origin_free_s = max(self._origin_free_s, self.now_s) + size_bytes / self.uplink

    def _fetch(self, node: PaperNode, piece_range: PieceRange) -> None:
        self.registry.begun(node.host, INFO_HASH, piece_range.first, piece_range.count)
        self._send(node, piece_range, piece_range.first)

    def _send(self, node: PaperNode, piece_range: PieceRange, index: int) -> None:
        """Send a range's pieces one after the other; the origin takes turns between ranges."""
        if index == piece_range.first + piece_range.count:
            self._range_ended(node, piece_range)
            return
        if index == piece_range.first + piece_range.count - 1:
            self.registry.went_out(node.host, INFO_HASH, piece_range.first, piece_range.count)
        self.sent[index] += 1
        node.from_origin += 1
        self._origin_free_s = max(self._origin_free_s, self.now_s) + PIECE_BYTES / self.uplink

        def arrive() -> None:
            self._arrive(node, index)
            self._send(node, piece_range, index + 1)

        self.at(self._origin_free_s, arrive)

    def _range_ended(self, node: PaperNode, piece_range: PieceRange) -> None:
        if not node.is_dead:
            node.policy.range_ended(piece_range.number, is_whole=True, now_s=self.now_s)
            self._act(node)

    def _arrive(self, node: PaperNode, index: int, *, is_swapped: bool = False) -> None:
        have = node.policy.have[INFO_HASH]
        if node.is_dead or have >> index & 1:
            return
        node.from_neighbours += is_swapped
        node.policy.piece_arrived(INFO_HASH, index, now_s=self.now_s)
        if node.policy.is_complete and node.done_s is None:
            node.done_s = self.now_s
        for endpoint in node.neighbours:
            self._swap(self._by_endpoint[endpoint], index)
        if node.policy.is_complete:
            self._act(node)
