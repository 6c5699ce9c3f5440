"""Who gets what: which pieces a node alone should fetch from an origin, and when it should ask again.

Scatter and swap. Every piece that nobody has is leased to exactly one node, which fetches it over HTTPS; the nodes swap
what they have with each other. So the server sends each byte about once, whatever the number of nodes. Leases are
ranges that shrink towards the end, so that the last pieces leave the server from many hands at once; only so many are
out at a time that a piece takes a fraction of a second to arrive, because a piece cannot be swapped before its last
byte is in.

Pure: `now_s` and a `Random` come in, decisions go out. Bytes, seconds, bytes per second. It will not keep state of its
own; that is `seeder.policy.registry`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from seeder.policy.leases import STALL_S, START_MAX_BYTES, UNSEEN_MAX
from seeder.policy.node import Node
from seeder.policy.registry import Registry
from seeder.policy.torrent_state import TorrentState
from swarmboot.ids import InfoHash
from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces
from swarmboot.wire.announce import Lease

GOODPUT = 1448 / 1538
"""What headers leave of a raw Ethernet rate at an MTU of 1500 (TCP with timestamps over IPv4)."""
_ANSWER_BYTES = 400
"""What an announce takes of the uplink: the answer with its headers, and what acknowledges the question."""
_PATIENCE_WITH_PROGRESS = 3.0
_FETCHERS_A_SEED = 2
_STRANGERS_COUNTED = 64
_STRANGERS_IN_A_ROUND = 256
"""So many nodes without credit count at least; of more, only as many as there are with it: anybody can invent some."""
_LEASES_OF_THE_NEGLECTED = 2
_STARTING_S = 3.0
"""So long what a node has fetched is left to it by a neglected one if it cannot be dialled yet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a handout.

    `pipe_s` is how long one leased piece may take when every open lease shares the uplink, and `least_open` how many
    leases are open whatever that says, for a node needs a moment to ask for its next; `announces_per_s` is what the
    seeder's processor affords, and `announce_share` the part of the uplink that answers to announces may take;
    `settle_s` is the least that neighbours have to show what they can do.
    `rack_neighbours` is how many of its rack a newcomer is told to dial, and `rack_links` how many connections it is
    brought up to afterwards, if not so many have dialled it: half of both while the rack grows and a piece takes
    `long_piece_s` or more. `fair_share` is how much of one uplink they should come to; `far_links_least` how many links
    a rack has to others, however small it is.
    """

    uplink_bytes_per_s: float
    origins: int = 1
    lease_bytes: int = 1 << 20
    least_pieces: int = 4
    pipe_s: float = 0.2
    least_open: int = 8
    rack_neighbours: int = 4
    rack_links: int = 8
    long_piece_s: float = 0.03
    fair_share: float = 0.9
    far_neighbours: int = 1
    far_links_least: int = 4
    links_most: int = 64
    interval_s: float = 1.0
    idle_interval_s: float = 5.0
    announces_per_s: float = 1500.0
    announce_share: float = 0.01
    settle_s: float = 1.0


def announce_interval_s(registry: Registry, node: Node, limits: Limits) -> float:
    """Return when a node should announce again: sooner while it fetches, and never more than the budget allows.

    A node that holds leases is asked at least as often as they would be void otherwise: others wait for what it has.
    """
    base_s = limits.idle_interval_s if node.is_complete else limits.interval_s
    by_processor_s = len(registry.nodes) / limits.announces_per_s
    return max(base_s, by_processor_s if node.leases else _round_s(registry, limits))


def silence_s(registry: Registry, limits: Limits) -> float:
    """Return how long a node may be silent before it is taken for gone."""
    return 2.5 * max(limits.idle_interval_s, _round_s(registry, limits)) + 1.0


def _round_s(registry: Registry, limits: Limits) -> float:
    """Return how long all nodes take to announce once, as the processor and the uplink afford it."""
    by_uplink = limits.announce_share * limits.uplink_bytes_per_s / _ANSWER_BYTES
    strangers = len(registry.strangers)
    counted = _counted(len(registry.nodes) - strangers, strangers, least=_STRANGERS_IN_A_ROUND)
    return max(len(registry.nodes) / limits.announces_per_s, counted / by_uplink)


def _counted(known: int, strangers: int, *, least: int) -> int:
    return known + min(strangers, max(least, known))


def patience_s(registry: Registry, node: Node, limits: Limits) -> float:
    """Return how long a node may get no piece at all before something is wrong.

    Plain HTTPS would bring every node a piece in the time in which the uplink sends one to each. Complaining sooner
    makes the server send what neighbours are about to, which slows the pieces that all wait for.
    """
    round_bytes = _fetchers(registry, node) * piece_bytes_of(registry, node)
    return max(limits.settle_s, 1.5 * round_bytes / (limits.uplink_bytes_per_s * GOODPUT))


def is_supplied(registry: Registry, node: Node, *, now_s: float, limits: Limits) -> bool:
    """Return whether neighbours hold all that `node` lacks and send it at least as fast as the server could.

    Taken on trust until the node has settled. After that a node that complains is not supplied; nor is one that gets
    less than half of the server's fair share, or less than all of it where so few nodes have everything that they may
    be what it waits for. So no node is slower than plain HTTPS.
    """
    if not node.have or is_neglected(registry, node, now_s=now_s, limits=limits):
        return False
    seeds = min(len(registry.holdings(info_hash).seeds) for info_hash in node.have)
    if not seeds:
        return False
    is_sure = _fetchers(registry, node) <= _FETCHERS_A_SEED * seeds or not _has_settled(registry, node, now_s, limits)
    return is_sure or node.rate_from_neighbours >= _due_bytes_per_s(registry, node, limits)


def is_neglected(registry: Registry, node: Node, *, now_s: float, limits: Limits) -> bool:
    """Return whether a node complains, or gets less from its neighbours than half its fair share of the uplink.

    In a swarm that works, neighbours send each node nearly everything, so this tells a node whose neighbours are
    unreachable or slow from one that waits for its turn. A newcomer is given `patience_s` to find out, from when it can
    be dialled, and three times that while they send it something: a slow machine gets less than its share from anybody.
    One whose own link is what is slow is not helped by getting twice what it has room for once.
    """
    if node.is_starting:
        return False
    if node.is_starving:
        return True
    is_slow = node.rate_from_neighbours < 0.5 * _due_bytes_per_s(registry, node, limits)
    return is_slow and _has_settled(registry, node, now_s, limits)


def _has_settled(registry: Registry, node: Node, now_s: float, limits: Limits) -> bool:
    """Return whether a node has had the time to show what its neighbours send it."""
    patience = patience_s(registry, node, limits) * (_PATIENCE_WITH_PROGRESS if node.rate_from_neighbours else 1.0)
    return now_s - node.joined_s > patience


def _due_bytes_per_s(registry: Registry, node: Node, limits: Limits) -> float:
    """Return what neighbours are to send a node: its fair share of the uplink, or half of what its link takes.

    Neighbours and the origin together have shown what that is if it was less than half the fair share.
    """
    fair_bytes_per_s = _fair_bytes_per_s(registry, node, limits)
    is_link_slow = 0 < node.rate_while_leased < 0.5 * fair_bytes_per_s
    return 0.5 * node.rate_while_leased if is_link_slow else fair_bytes_per_s


def _fair_bytes_per_s(registry: Registry, node: Node, limits: Limits) -> float:
    """Return what the uplink would send each node if it sent to all of them and nobody else did."""
    return limits.uplink_bytes_per_s * GOODPUT / max(1, _fetchers(registry, node))


def _fetchers(registry: Registry, node: Node) -> int:
    most = 0
    for info_hash in node.have:
        most = max(most, _sharers(registry.torrents[info_hash]))
    return most


def _sharers(holdings: TorrentState) -> int:
    """Return how many nodes fetch a torrent, as far as they count."""
    known = len(holdings.known)
    return _counted(known, len(holdings.fetchers) - known, least=_STRANGERS_COUNTED)


def piece_bytes_of(registry: Registry, node: Node) -> int:
    """Return the largest piece length of a node's torrents."""
    most = 1
    for info_hash in node.have:
        most = max(most, registry.torrents[info_hash].torrent.piece_bytes)
    return most


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
    if node.doubts or is_neglected(registry, node, now_s=now_s, limits=limits):
        return sum(lease.is_in_pipe for lease in node.leases.values()) >= _LEASES_OF_THE_NEGLECTED
    return registry.open_leases >= most_open_leases(registry, limits, piece_bytes=piece_bytes_of(registry, node))


def lease_pieces(registry: Registry, node: Node, *, slots: int, now_s: float, limits: Limits) -> tuple[Lease, ...]:
    """Return the pieces that only `node` should fetch from an origin next, at most `slots` runs of them.

    First what nobody has; then, while neighbours cannot supply the node, what no booting node has; then, for a node
    that its neighbours neglect, anything it lacks; at last what others have been leased and do not fetch. Never a piece
    whose unexpired lease another node makes use of.
    """
    supplied: bool | None = None
    leases: list[Lease] = []
    slots = min(slots, _room(registry, node, limits))
    neglected = is_neglected(registry, node, now_s=now_s, limits=limits)
    is_shared = registry.book.has_seen and _is_last(registry, node)
    for info_hash in _largest_first(registry, node):
        holdings = registry.holdings(info_hash)
        while len(leases) < slots:
            if is_pipe_full(registry, node, now_s=now_s, limits=limits):
                return tuple(leases)
            doubt = node.doubts.get(info_hash)
            unheld = ~holdings.held if doubt is None else ~holdings.held | doubt.of(holdings)
            free = _free(holdings, node) & unheld
            sharers = _sharers(holdings)
            if not free:
                supplied = is_supplied(registry, node, now_s=now_s, limits=limits) if supplied is None else supplied
                free = 0 if supplied else _free(holdings, node) & ~registry.fetched(info_hash)
            if not free and neglected:
                free, sharers = _free(holdings, node), 1
            if not free and (neglected or node.doubts):
                free, sharers = _unused(registry, holdings, node, now_s), 1
            free = free or (_idle(holdings, node) & unheld)
            if not free:
                break
            first, count = piece_set.first_run(free, _run_length(holdings, free, sharers, limits))
            timeout_s = _lease_timeout_s(registry, count * holdings.torrent.piece_bytes, limits)
            origin = registry.granted % max(1, limits.origins)
            leases.append(
                registry.grant(
                    node, info_hash, first, count,
                    now_s=now_s, lease_timeout_s=timeout_s, origin=origin, is_shared=is_shared,
                )
            )  # fmt: skip
    return tuple(leases)


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
    return registry.book.is_burnt(node.host, known=registry.known_at.get(node.host, 0))


def _room(registry: Registry, node: Node, limits: Limits) -> int:
    """Return how many more leases a node may have; what it has fetched from the seeder's own door does not count.

    What mirrors send is not seen, so there a node may have as many more as it has credit for.
    """
    if node.is_starting:
        piece_bytes = piece_bytes_of(registry, node)
        if sum(lease.count for lease in node.leases.values()) * piece_bytes >= START_MAX_BYTES:
            return 0
    unseen = sum(not lease.is_fetched for lease in node.leases.values())
    return UNSEEN_MAX + (max(0, node.credit) if limits.origins > 1 else 0) - unseen


def _largest_first(registry: Registry, node: Node) -> list[InfoHash]:
    return sorted(node.have, key=lambda h: (-registry.torrents[h].torrent.size_bytes, h))


def _free(holdings: TorrentState, node: Node) -> Pieces:
    """Return the pieces that the node lacks and nobody has leased."""
    return holdings.all & ~node.have[holdings.torrent.info_hash] & ~holdings.leased


def _idle(holdings: TorrentState, node: Node) -> Pieces:
    """Return the pieces that the node lacks and another has leased and does not fetch."""
    idle = holdings.idle & holdings.all & ~node.have[holdings.torrent.info_hash]
    for lease in node.leases.values() if idle else ():
        if lease.info_hash == holdings.torrent.info_hash:
            idle &= ~lease.awaited
    return idle


def _unused(registry: Registry, holdings: TorrentState, node: Node, now_s: float) -> Pieces:
    """Return the pieces of a lease, lacked by a neglected node, whose holder has shown no sign of bringing them.

    That is, who has not fetched them and is not known for fetching, or has fetched them and cannot be dialled. Those
    come first whose bytes nobody has asked for, then the oldest: what was taken over just now is left alone.
    """
    lacking = holdings.all & ~node.have[holdings.torrent.info_hash]
    best: tuple[bool, float] = (True, math.inf)
    unused = 0
    for lease in registry.book.open_leases(holdings.torrent.info_hash):
        holder, order = registry.nodes[lease.node], (lease.is_begun and not lease.is_idle, lease.granted_s)
        if lease.is_fetched:
            is_used = not (holder.is_starting and now_s - lease.granted_s > _STARTING_S)
        else:
            is_used = lease.is_begun and holder.credit > 0
        if (lease.is_idle or not is_used) and order < best and holder is not node and lease.awaited & lacking:
            best, unused = order, lease.awaited & lacking
    return unused


def _run_length(holdings: TorrentState, free: Pieces, sharers: int, limits: Limits) -> int:
    """Return how many pieces the next lease takes: large at first, few at the end (guided self-scheduling).

    Not one at a time: asking for a lease costs more than sending a small piece. At most `lease_bytes`, and on a slow
    uplink what it sends in `pipe_s`; or what a node's two leases fetch in a quarter of a second if that is more.
    """
    share = max(limits.least_pieces, free.bit_count() // (2 * max(1, sharers)))
    quarter_second = limits.uplink_bytes_per_s * 0.25 / (2 * max(1, sharers))
    pipe_bytes = max(limits.pipe_s * limits.uplink_bytes_per_s, limits.least_pieces * holdings.torrent.piece_bytes)
    most_bytes = max(min(limits.lease_bytes, pipe_bytes), quarter_second)
    return max(1, min(int(most_bytes / holdings.torrent.piece_bytes), share))


def _lease_timeout_s(registry: Registry, size_bytes: int, limits: Limits) -> float:
    """Return how long a lease lasts without progress: three times what it takes when all leases share the uplink.

    As if `least_open` were out if there are fewer: a rack that starts asks for its documents over the same uplink.
    """
    sharers = max(registry.open_leases + 1, limits.least_open)
    return max(STALL_S, 3.0 * size_bytes * sharers / (limits.uplink_bytes_per_s * GOODPUT))
