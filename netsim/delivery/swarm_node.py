"""One node of the swarm on simulated time: what carries out its policy's requests.

What the shell in `leecher.swarm.fetcher` does with sockets and libtorrent, this does with transfers and the exchange.
The announce that a request stands for has the same content as the shell's.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

from leecher.policy.node_policy import Policy, Wanted
from netsim.delivery.policy_loop import Action, PolicyLoop
from swarmboot.ids import NodeId, Sequence
from swarmboot.release import piece_set as sets
from swarmboot.wire.announce import Announce, Handout, Neighbour

if TYPE_CHECKING:
    from leecher.policy.requests import AnnounceRequest, PieceRange
    from netsim.delivery.swarm_world import SwarmWorld
    from netsim.swap.torrents import Image
    from swarmboot.ids import InfoHash
    from swarmboot.release.piece_set import Pieces

SERVE_S = 0.002
DIAL_S = 0.1
FIRST_DIAL_S = 0.005
ALONE_S = 0.3
HASH_BYTES_PER_S = 600e6
COUNT_S = 0.01
"""From handing a piece to libtorrent to its finished alert: two threads and a disk job, hashing aside."""
JOIN_S = 0.05
"""From a node's first announce until it can be dialled: libtorrent is imported and listens."""
SHARES = (3, 4, 5)
"""Of a link that they cross together, what a stream takes, as TCP's windows scatter; see `netsim.fluid.engine`."""
PORT = 6881


class SwarmNode:
    """One node from its first announce on."""

    def __init__(self, world: SwarmWorld, node: int, *, now_s: float, done: Action) -> None:
        self.from_origin_bytes = 0.0
        self.is_done = False
        self._world = world
        self._node = node
        self._done = done
        self._engine = world.engine
        self._exchange = world.exchange
        self._is_dialling = False
        self._told_s = 0.0
        self._ranges: dict[int, tuple[PieceRange, int]] = {}
        wanted = {
            each.info_hash: Wanted(each.info_hash, each.count, each.piece_bytes, world.boot_sets.get(each.info_hash, 0))
            for each in world.torrents.images
        }
        random = Random(world.random.random())
        self.policy = Policy(wanted, origin=world.origins[0], now_s=now_s, random=random)
        self.loop = PolicyLoop(self.policy, self, at=self._act_at)
        self._joined_s = now_s + JOIN_S
        self._engine.at(self._joined_s, self._join)
        self._engine.at(self._joined_s + ALONE_S, self._start_alone)

    def _act_at(self, time_s: float, action: Action) -> None:
        self._engine.at(time_s, partial(self._act, action))

    def _act(self, action: Action, now_s: float) -> None:
        """Run an action of a node that is still there, its pieces told to the policy first."""
        if not self.loop.is_over:
            self._tell(now_s)
            action(now_s)

    def _tell(self, now_s: float) -> None:
        """Tell the policy the pieces that have come since it was last asked."""
        touched_s = float(self._exchange.touched_s[self._node])
        if touched_s == self._told_s:
            return
        self._told_s = touched_s
        at_s = min(touched_s, now_s)
        for index, image in enumerate(self._world.torrents.images):
            self.loop.pieces_arrived(image.info_hash, self._exchange.pieces_of(self._node, index), at_s=at_s)

    def begin(self, now_s: float) -> None:
        """Start to ask the policy."""
        self.loop.begin(now_s)

    def _join(self, now_s: float) -> None:
        """Be a neighbour from now on."""
        if not self.loop.is_over:
            self._exchange.is_up[self._node] = True
            self._act(self.loop.started, now_s)

    def meet(self, others: list[int], now_s: float) -> None:
        """Take note of neighbours that discovery found."""
        found = tuple(Neighbour(str(other), PORT, 0) for other in others)
        if found:
            self.loop.neighbours_found(found, now_s)

    def complete(self, now_s: float) -> None:
        """Occurs when the exchange has brought the last piece."""
        if self.loop.is_over or self.is_done:
            return
        self.is_done = True
        self._tell(now_s)
        self._done(now_s)

    def die(self) -> None:
        """End the node without a word."""
        self.loop.is_over = True
        self._exchange.leave(self._node)

    def announce(self, request: AnnounceRequest, now_s: float) -> None:
        """Post what the shell would post."""
        self._world.coordinator.post(
            self._announcement(request), host=str(self._node), now_s=now_s, on_answer=self._answered
        )

    def _announcement(self, request: AnnounceRequest) -> Announce:
        images = self._world.torrents.images
        return Announce(
            node=NodeId(self._node.to_bytes(16, "big")),
            sequence=Sequence(1),
            state=request.state,
            port=PORT if self.loop.has_started else 0,
            rack=f"rack{self._world.racks[self._node]}",
            have={each.info_hash: sets.encode(self._shown(each.info_hash), each.count) for each in images},
            free_lease_slots=request.free_lease_slots,
            received=request.received,
            returned=request.returned,
            is_starving=request.is_starving,
            from_neighbours_bytes=int(self._exchange.received[self._node]),
            from_origin_bytes=int(self.from_origin_bytes),
            urgent=self._urgent(),
        )

    def _shown(self, info_hash: InfoHash) -> Pieces:
        return self.policy.have[info_hash] | self.policy.coming(info_hash)

    def _urgent(self) -> dict[InfoHash, Pieces]:
        """Return the pieces that reads wait for."""
        return {}

    def _answered(self, handout: Handout | None, now_s: float) -> None:
        if handout is None:
            self._act(self.loop.announce_failed, now_s)
        else:
            if handout.is_stage0_wanted and not self.is_done:
                self._world.stage0.asked(self._node, handout.stage0_from)
            self._act(partial(self.loop.handout_arrived, handout), now_s)

    def dial(self, neighbours: tuple[Neighbour, ...], now_s: float) -> None:
        """Connect to neighbours, the first of them at once."""
        delay_s = DIAL_S if self._is_dialling else FIRST_DIAL_S
        self._is_dialling = True
        self._exchange.begin(self._node)
        others = [int(neighbour.host) for neighbour in neighbours]
        self._engine.at(now_s + delay_s + 4 * self._world.latency_s, partial(self._connect, others))

    def _connect(self, others: list[int], _now_s: float) -> None:
        for other in others:
            self._exchange.neighbours.connect(self._node, other)

    def _start_alone(self, now_s: float) -> None:
        if not self._is_dialling and not self.loop.is_over:
            self.dial((), now_s)

    def fetch(self, piece_range: PieceRange, now_s: float) -> None:
        """Fetch a range from its origin, piece by piece in one stream."""
        source = self._world.sources[piece_range.origin]
        self._ranges[piece_range.number] = (piece_range, source)
        self._engine.at(now_s + 2 * self._world.latency_s + SERVE_S, partial(self._open, piece_range, source))

    def _open(self, piece_range: PieceRange, source: int, now_s: float) -> None:
        if self.loop.is_over or piece_range.number not in self._ranges:
            return
        if source in self._world.dead:
            self._end(piece_range, now_s, is_whole=False)
            return
        if source == self._world.sources[self._world.origins[0]]:
            self._world.coordinator.tracker.registry.begun(
                str(self._node), piece_range.info_hash, piece_range.first, piece_range.count
            )
        stream = _Stream(self, self._world.torrents.named(piece_range.info_hash), piece_range)
        shares = self._world.random.choice(SHARES)
        self._engine.start(source, self._node, stream.next_bytes, stream.piece_ended, shares=shares)

    def piece_fetched(self, piece_range: PieceRange, piece: int, size_bytes: int, now_s: float) -> None:
        """Occurs when the last byte of a piece of a range is in; it counts once it is hashed."""
        self.from_origin_bytes += size_bytes
        index = self._world.torrents.index_of(piece_range.info_hash)
        self._take_in_hand(piece_range.info_hash, piece, now_s)
        inserted_s = max(now_s, self._joined_s) + COUNT_S + size_bytes / HASH_BYTES_PER_S
        self._engine.at(inserted_s, partial(self._insert, index, piece))
        if piece == piece_range.first + piece_range.count - 1:
            if piece_range.origin == self._world.origins[0]:
                self._world.coordinator.tracker.registry.went_out(
                    str(self._node), piece_range.info_hash, piece_range.first, piece_range.count
                )
            self._end(piece_range, now_s, is_whole=True)

    def _insert(self, index: int, piece: int, now_s: float) -> None:
        if not self.loop.is_over:
            self._take_in_hand(self._world.torrents.images[index].info_hash, piece, now_s, is_verified=True)
            self._exchange.insert(self._node, index, piece, now_s)

    def _take_in_hand(self, info_hash: InfoHash, piece: int, now_s: float, *, is_verified: bool = False) -> None:
        """Have the policy know of a piece that is being verified, or is no more; nobody shows one before it joins."""
        in_hand = dict(self.policy.in_hand)
        in_hand[info_hash] = in_hand.get(info_hash, 0) & ~(1 << piece) | (not is_verified) << piece
        self.policy.has_in_hand(in_hand if self.loop.has_started else {}, has_room=True, now_s=now_s)

    def _end(self, piece_range: PieceRange, now_s: float, *, is_whole: bool) -> None:
        self._ranges.pop(piece_range.number, None)
        self._act(lambda then_s: self.loop.range_ended(piece_range.number, is_whole=is_whole, now_s=then_s), now_s)

    def source_lost(self, source: int, now_s: float) -> None:
        """Occurs when a server or mirror is gone: the ranges from it fail."""
        for piece_range, used in list(self._ranges.values()):
            if used == source:
                self._end(piece_range, now_s, is_whole=False)


class _Stream:
    """The pieces of one range, as their bytes come in one after the other."""

    def __init__(self, node: SwarmNode, image: Image, piece_range: PieceRange) -> None:
        self._node = node
        self._image = image
        self._range = piece_range
        self._piece: int = piece_range.first

    @property
    def next_bytes(self) -> int:
        """Return the bytes of the piece that comes next; 0 after the last."""
        is_over = self._piece >= self._range.first + self._range.count
        return 0 if is_over else self._image.span_bytes(self._piece, 1)

    def piece_ended(self, now_s: float) -> float:
        """Count a piece and return the bytes of the next one."""
        piece, size_bytes = self._piece, self.next_bytes
        self._piece += 1
        self._node.piece_fetched(self._range, piece, size_bytes, now_s)
        return self.next_bytes
