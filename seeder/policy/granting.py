"""Which pieces a node alone should fetch from an origin next: where leases are decided.

Scatter and swap. Every piece that nobody has is leased to exactly one node, which fetches it over HTTPS; the nodes swap
what they have with each other. So the server sends each byte about once, whatever the number of nodes. Leases are
ranges that shrink towards the end, so that the last pieces leave the server from many hands at once; only so many are
out at a time that a piece takes a fraction of a second to arrive, because a piece cannot be swapped before its last
byte is in.

Pure: `now_s` comes in, leases go out. Bytes, seconds, bytes per second. It will not keep state of its own; that is
`seeder.policy.facts.registry`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from seeder.policy.facts.leases import STALL_S, START_MAX_BYTES, UNSEEN_MAX
from seeder.policy.facts.node import Node
from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import TorrentState
from seeder.policy.limits import Limits
from seeder.policy.supply import is_neglected, is_supplied, piece_bytes_of, sharers_of
from swarmboot.ids import InfoHash
from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces
from swarmboot.text.units import GOODPUT
from swarmboot.wire.announce import Lease

URGENT_MAX = 4
"""So many pieces are leased at once to a node whose programs wait."""
_LEASES_OF_THE_NEGLECTED = 2
_STARTING_S = 3.0
"""So long what a node has fetched is left to it by a neglected one if it cannot be dialled yet."""


def most_open_leases(registry: Registry, limits: Limits, *, piece_bytes: int) -> int:
    """Return how many leases may be out at once: enough to fill the uplink, few enough that pieces arrive quickly.

    A lease is open until its node has announced that its bytes are in; a node fetches two at a time.
    """
    by_pipe = int(limits.pipe_s * limits.uplink_bytes_per_s / piece_bytes)
    return max(2, min(max(limits.least_open, by_pipe), 2 * len(registry.nodes)))


def is_pipe_full(registry: Registry, node: Node, *, now_s: float, limits: Limits) -> bool:
    """Return whether as many leases are out as the uplink carries with good speed each.

    Never for a neglected node that has fewer than two: with plain HTTPS it would be fetching anyway.
    """
    return _is_pipe_full(registry, node, limits, neglected=is_neglected(registry, node, now_s=now_s, limits=limits))


def _is_pipe_full(registry: Registry, node: Node, limits: Limits, *, neglected: bool) -> bool:
    if neglected or node.doubts:
        return sum(lease.is_in_pipe for lease in node.leases.values()) >= _LEASES_OF_THE_NEGLECTED
    return registry.open_leases >= most_open_leases(registry, limits, piece_bytes=piece_bytes_of(registry, node))


def lease_pieces(registry: Registry, node: Node, *, slots: int, now_s: float, limits: Limits) -> tuple[Lease, ...]:
    """Return the pieces that only `node` should fetch from an origin next, at most `slots` runs of them."""
    choice = _Choice(registry, node, now_s, limits)
    leases: list[Lease] = []
    slots = min(slots, _room(registry, node, limits))
    is_shared = registry.book.has_seen and _is_last(registry, node)
    for info_hash, only in _in_order(registry, node):
        state = registry.torrent_state(info_hash)
        while len(leases) < slots:
            if _is_pipe_full(registry, node, limits, neglected=choice.is_neglected):
                return tuple(leases)
            pieces, sharers = choice.of(state)
            pieces &= only
            if not pieces:
                break
            first, count = piece_set.first_run(pieces, _run_length(state, pieces, sharers, limits))
            timeout_s = _lease_timeout_s(registry, count * state.torrent.piece_bytes, limits)
            origin = registry.granted % max(1, limits.origins)
            leases.append(
                registry.leases.grant(
                    node, info_hash, first, count,
                    now_s=now_s, lease_timeout_s=timeout_s, origin=origin, is_shared=is_shared,
                )
            )  # fmt: skip
    return tuple(leases)


def lease_urgent(
    registry: Registry, node: Node, urgent: Mapping[InfoHash, Pieces], *, now_s: float, limits: Limits
) -> tuple[Lease, ...]:
    """Return leases, of one piece each, of what a program on `node` waits for (docs/decisions/0056).

    At once, whatever else is under way; but only of what nobody has who could send it and nobody fetches already, so
    that what a whole rack waits for leaves the server once. Never more than the node may have.
    """
    leases: list[Lease] = []
    slots = min(_room(registry, node, limits), URGENT_MAX)
    for info_hash, wanted in urgent.items():
        state = registry.torrents.get(info_hash)
        if state is None or info_hash not in node.have:
            continue
        doubt = node.doubts.get(info_hash)
        unheld = ~state.held if doubt is None else ~state.held | doubt.of(state)
        for index in piece_set.each(wanted & _free(state, node) & unheld):
            if len(leases) >= slots:
                return tuple(leases)
            leases.append(
                registry.leases.grant(
                    node, info_hash, index, 1,
                    now_s=now_s, lease_timeout_s=_lease_timeout_s(registry, state.torrent.piece_bytes, limits),
                    origin=registry.granted % max(1, limits.origins), is_shared=False,
                )
            )  # fmt: skip
    return tuple(leases)


class _Choice:
    """What one node may be leased at one moment; `is_neglected` says whether its neighbours neglect it."""

    def __init__(self, registry: Registry, node: Node, now_s: float, limits: Limits) -> None:
        self._registry = registry
        self._node = node
        self._now_s = now_s
        self._limits = limits
        self._is_supplied: bool | None = None
        self.is_neglected = is_neglected(registry, node, now_s=now_s, limits=limits)

    def of(self, state: TorrentState) -> tuple[Pieces, int]:
        """Return the pieces of a torrent that the node may be leased now, and how many nodes are to share them.

        First what nobody has; then, while neighbours cannot supply the node, what no booting node has; then, for a node
        that its neighbours neglect, anything it lacks; at last what others have been leased and do not fetch. Never a
        piece whose unexpired lease another node makes use of.
        """
        node = self._node
        info_hash = state.torrent.info_hash
        doubt = node.doubts.get(info_hash)
        unheld = ~state.held if doubt is None else ~state.held | doubt.of(state)
        free = _free(state, node)
        if free & unheld:
            return free & unheld, sharers_of(state)
        unfetched = 0 if self._has_supply() else free & ~self._registry.fetched(info_hash)
        if unfetched:
            return unfetched, sharers_of(state)
        if self.is_neglected and free:
            return free, 1
        is_helped = self.is_neglected or bool(node.doubts)
        unused = _unused(self._registry, state, node, self._now_s) if is_helped else 0
        return unused or (_idle(state, node) & unheld), 1 if is_helped else sharers_of(state)

    def _has_supply(self) -> bool:
        if self._is_supplied is None:
            self._is_supplied = is_supplied(self._registry, self._node, now_s=self._now_s, limits=self._limits)
        return self._is_supplied


def rank(registry: Registry, node: Node, *, now_s: float, limits: Limits) -> int:
    """Return when a node is served: neglected ones first (0), those that have fetched leases (1), others (2).

    Last (3) are those that let leases lapse, or whose address has many leases that nobody fetches. They wait only while
    others do, so a rack behind one NAT is not held up.
    """
    if _is_last(registry, node):
        return 3
    if node.doubts or is_neglected(registry, node, now_s=now_s, limits=limits):
        return 0
    return 1 if node.credit > 0 else 2


def _is_last(registry: Registry, node: Node) -> bool:
    if node.credit:
        return node.credit < 0
    return registry.book.is_burnt(node.host, known=registry.standing.known_at.get(node.host, 0))


def _room(registry: Registry, node: Node, limits: Limits) -> int:
    """Return how many more leases a node may have; what it has fetched from this seeder does not count.

    What mirrors send is not seen, so there a node may have as many more as it has credit for.
    """
    if node.is_starting:
        piece_bytes = piece_bytes_of(registry, node)
        if sum(lease.count for lease in node.leases.values()) * piece_bytes >= START_MAX_BYTES:
            return 0
    unseen = sum(not lease.is_fetched for lease in node.leases.values())
    return UNSEEN_MAX + (max(0, node.credit) if limits.origins > 1 else 0) - unseen


def _in_order(registry: Registry, node: Node) -> list[tuple[InfoHash, Pieces]]:
    """Return a node's torrents, the largest first, and which of their pieces: what a boot reads, then all."""
    torrents = [registry.torrents[info_hash].torrent for info_hash in node.have]
    torrents.sort(key=lambda each: (-each.size_bytes, each.info_hash))
    boot_sets = [(each.info_hash, each.boot_set) for each in torrents if each.boot_set]
    return [*boot_sets, *((each.info_hash, piece_set.all_pieces(each.count)) for each in torrents)]


def _free(state: TorrentState, node: Node) -> Pieces:
    """Return the pieces that the node lacks and nobody has leased."""
    return state.all & ~node.have[state.torrent.info_hash] & ~state.leased


def _idle(state: TorrentState, node: Node) -> Pieces:
    """Return the pieces that the node lacks and another has leased and does not fetch."""
    idle = state.idle & state.all & ~node.have[state.torrent.info_hash]
    for lease in node.leases.values() if idle else ():
        if lease.info_hash == state.torrent.info_hash:
            idle &= ~lease.awaited
    return idle


def _unused(registry: Registry, state: TorrentState, node: Node, now_s: float) -> Pieces:
    """Return the pieces of a lease, lacked by a neglected node, whose holder has shown no sign of bringing them.

    That is, who has not fetched them and is not known for fetching, or has fetched them and cannot be dialled. Those
    come first whose bytes nobody has asked for, then the oldest: what was taken over just now is left alone.
    """
    lacking = state.all & ~node.have[state.torrent.info_hash]
    best: tuple[bool, float] = (True, math.inf)
    unused = 0
    for lease in registry.book.awaiting(state.torrent.info_hash):
        holder, order = registry.nodes[lease.node], (lease.is_begun and not lease.is_idle, lease.granted_s)
        if lease.is_fetched:
            is_used = not (holder.is_starting and now_s - lease.granted_s > _STARTING_S)
        else:
            is_used = lease.is_begun and holder.credit > 0
        if (lease.is_idle or not is_used) and order < best and holder is not node and lease.awaited & lacking:
            best, unused = order, lease.awaited & lacking
    return unused


def _run_length(state: TorrentState, free: Pieces, sharers: int, limits: Limits) -> int:
    """Return how many pieces the next lease takes: large at first, few at the end (guided self-scheduling).

    Not one at a time: asking for a lease costs more than sending a small piece. At most `lease_bytes`, and on a slow
    uplink what it sends in `pipe_s`; or what a node's two leases fetch in a quarter of a second if that is more.
    """
    share = max(limits.least_pieces, free.bit_count() // (2 * max(1, sharers)))
    quarter_second = limits.uplink_bytes_per_s * 0.25 / (2 * max(1, sharers))
    pipe_bytes = max(limits.pipe_s * limits.uplink_bytes_per_s, limits.least_pieces * state.torrent.piece_bytes)
    most_bytes = max(min(limits.lease_bytes, pipe_bytes), quarter_second)
    return max(1, min(int(most_bytes / state.torrent.piece_bytes), share))


def _lease_timeout_s(registry: Registry, size_bytes: int, limits: Limits) -> float:
    """Return how long a lease lasts without progress: three times what it takes when all leases share the uplink.

    As if `least_open` were out if there are fewer: a rack that starts asks for its documents over the same uplink.
    """
    sharers = max(registry.open_leases + 1, limits.least_open)
    return max(STALL_S, 3.0 * size_bytes * sharers / (limits.uplink_bytes_per_s * GOODPUT))
