"""Who gets what: which neighbours a node is given, and which pieces it alone should fetch from an origin.

Scatter and swap. Every piece that nobody has is leased to exactly one node, which fetches it over HTTPS; the nodes swap
what they have with each other. So the server sends each byte about once, whatever the number of nodes. Leases are
ranges that shrink towards the end, so that the last pieces leave the server from many hands at once; only so many are
out at a time that a piece takes a fraction of a second to arrive, because a piece cannot be swapped before its last
byte is in.

Pure: `now_s` and a `Random` come in, decisions go out. Bytes, seconds, bytes per second. It will not keep state of its
own; that is `seeder.registry`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from seeder.registry import STALL_S, Holdings, Node, Registry, Roster
from swarmboot import pieces
from swarmboot.ids import InfoHash
from swarmboot.pieces import Pieces
from swarmboot.wire import Lease, Neighbour, NodeState

GOODPUT = 1448 / 1538
"""What headers leave of a raw Ethernet rate at an MTU of 1500 (TCP with timestamps over IPv4)."""
_ANSWER_BYTES = 400
"""What an announce takes of the uplink: the answer with its headers, and what acknowledges the question."""
_PATIENCE_WITH_PROGRESS = 3.0
_MORE_NEIGHBOURS = 2
_FETCHERS_A_SEED = 2


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
    return len(registry.nodes) / min(limits.announces_per_s, by_uplink)


def choose_neighbours(registry: Registry, node: Node, *, limits: Limits, random: Random) -> tuple[Node, ...]:
    """Return nodes that `node` should connect to and has not been given yet.

    Own rack first, then enough others that the racks stay one connected graph: every node is given some of the nodes
    that were there before it, so the graph is connected by construction, and random, so it stays so when nodes die.
    Those with the fewest connections come first. A node that starves is given others: those it knows may not be
    reached.
    """
    more = _MORE_NEIGHBOURS if node.is_starving and len(node.links) < limits.links_most else 0
    rack = registry.racks[node.rack]
    near = _sample(rack, node, max(_near_wanted(registry, node, limits), more), limits=limits, random=random)
    is_one_rack = len(rack) == len(registry.everyone)
    wanted = 0 if is_one_rack else max(_far_wanted(registry, node, limits), more - len(near))
    far = _sample(registry.everyone, node, wanted, limits=limits, random=random, is_far=True)
    return (*near, *far)


def _near_wanted(registry: Registry, node: Node, limits: Limits) -> int:
    """Return how many more nodes of its rack a node should dial.

    Where links are slow a fresh piece waits long at every node behind what all its neighbours have asked for, so there
    a rack begins with few connections, and more are made when everybody has come. A neighbour shares its uplink among
    those it has: a node with few connections, or with neighbours that have many, gets less than others and is last. So
    it is given one more at a time until the shares that it can expect come to about one uplink, which is what all nodes
    have on average, whoever is linked to whom.
    """
    rack = registry.racks[node.rack]
    if len(rack) <= limits.rack_links + 1:
        return limits.rack_links - node.near_links
    is_slow = _piece_bytes(registry, node) >= limits.long_piece_s * limits.uplink_bytes_per_s
    part = 2 if is_slow and node.seen_s - rack.grown_s < limits.settle_s else 1
    if not node.links:
        return limits.rack_neighbours // part
    share = math.fsum(1.0 / len(registry.nodes[link].links) for link in node.links)  # the same in any order
    is_short = not node.is_complete and share < limits.fair_share and len(node.links) < limits.links_most
    return max(limits.rack_links // part - node.near_links, int(is_short))


def _far_wanted(registry: Registry, node: Node, limits: Limits) -> int:
    """Return how many nodes of other racks a node should dial, so that half of a rack's nodes have such a link.

    What is new in another rack is little at any moment, and whoever has a link asks for the same: with more of them
    more comes over the rack's uplink twice.
    """
    of_rack = max(limits.far_links_least, len(registry.racks[node.rack]) // 2)
    of_node = limits.far_neighbours - (len(node.links) - node.near_links)
    return min(of_node, of_rack - registry.far_links[node.rack])


def address(node: Node) -> Neighbour:
    """Return where a node's doors are."""
    return Neighbour(node.host, node.port, node.http_port)


def _sample(
    roster: Roster, node: Node, count: int, *, limits: Limits, random: Random, is_far: bool = False
) -> list[Node]:
    """Return up to `count` nodes that `node` can be introduced to: of twice as many at random, the least connected.

    All nodes of a small roster are looked at.
    """
    if count <= 0:
        return []

    def is_fit(other: Node) -> bool:
        is_stranger = other is not node and other.node not in node.links and len(other.links) < limits.links_most
        is_gone = other.state is NodeState.LEAVING or other.is_starting
        is_there = not is_gone and not (is_far and other.rack == node.rack)
        return is_stranger and is_there and not node.have.keys().isdisjoint(other.have)

    if len(roster) <= 4 * count:
        chosen = {other.node: other for other in roster if is_fit(other)}
    else:
        chosen = {}
        for _ in range(4 * count):
            other = roster.pick(random)
            if len(chosen) < 2 * count and is_fit(other):
                chosen[other.node] = other
    return sorted(chosen.values(), key=lambda other: (len(other.links), random.random()))[:count]


def patience_s(registry: Registry, node: Node, limits: Limits) -> float:
    """Return how long a node may get no piece at all before something is wrong.

    Plain HTTPS would bring every node a piece in the time in which the uplink sends one to each. Complaining sooner
    makes the server send what neighbours are about to, which slows the pieces that all wait for.
    """
    round_bytes = _fetchers(registry, node) * _piece_bytes(registry, node)
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
    return is_sure or node.rate_from_neighbours >= _fair_bytes_per_s(registry, node, limits)


def is_neglected(registry: Registry, node: Node, *, now_s: float, limits: Limits) -> bool:
    """Return whether a node complains, or gets less from its neighbours than half its fair share of the uplink.

    In a swarm that works, neighbours send each node nearly everything, so this tells a node whose neighbours are
    unreachable or slow from one that waits for its turn. A newcomer is given `patience_s` to find out, from when it can
    be dialled, and three times that while they send it something: a slow machine gets less than its share from anybody.
    """
    if node.is_starting:
        return False
    if node.is_starving:
        return True
    is_slow = node.rate_from_neighbours < 0.5 * _fair_bytes_per_s(registry, node, limits)
    return is_slow and _has_settled(registry, node, now_s, limits)


def _has_settled(registry: Registry, node: Node, now_s: float, limits: Limits) -> bool:
    """Return whether a node has had the time to show what its neighbours send it."""
    patience = patience_s(registry, node, limits) * (_PATIENCE_WITH_PROGRESS if node.rate_from_neighbours else 1.0)
    return now_s - node.joined_s > patience


def _fair_bytes_per_s(registry: Registry, node: Node, limits: Limits) -> float:
    """Return what the uplink would send each node if it sent to all of them and nobody else did."""
    return limits.uplink_bytes_per_s * GOODPUT / max(1, _fetchers(registry, node))


def _fetchers(registry: Registry, node: Node) -> int:
    most = 0
    for info_hash in node.have:
        most = max(most, len(registry.torrents[info_hash].fetchers))
    return most


def _piece_bytes(registry: Registry, node: Node) -> int:
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


def is_pipe_full(registry: Registry, node: Node, limits: Limits) -> bool:
    """Return whether as many leases are out as the uplink carries with good speed each."""
    return registry.open_leases >= most_open_leases(registry, limits, piece_bytes=_piece_bytes(registry, node))


def lease_pieces(registry: Registry, node: Node, *, slots: int, now_s: float, limits: Limits) -> tuple[Lease, ...]:
    """Return the pieces that only `node` should fetch from an origin next, at most `slots` runs of them.

    First what nobody has; then, while neighbours cannot supply the node, what no booting node has; then, for a node
    that its neighbours neglect, anything it lacks. Never a piece whose unexpired lease another node holds.
    """
    supplied: bool | None = None
    leases: list[Lease] = []
    for info_hash in _largest_first(registry, node):
        holdings = registry.holdings(info_hash)
        while len(leases) < slots:
            if registry.open_leases >= most_open_leases(registry, limits, piece_bytes=holdings.torrent.piece_bytes):
                return tuple(leases)
            free = _free(holdings, node) & ~holdings.held
            sharers = len(holdings.fetchers)
            if not free:
                supplied = is_supplied(registry, node, now_s=now_s, limits=limits) if supplied is None else supplied
                free = 0 if supplied else _free(holdings, node) & ~registry.fetched(info_hash)
            if not free and is_neglected(registry, node, now_s=now_s, limits=limits):
                free, sharers = _free(holdings, node), 1
            if not free:
                break
            first, count = pieces.first_run(free, _run_length(holdings, free, sharers, limits))
            size_bytes = count * holdings.torrent.piece_bytes
            term_s = _term_s(registry, size_bytes, limits)
            origin = registry.granted % max(1, limits.origins)
            leases.append(registry.grant(node, info_hash, first, count, expires_s=now_s + term_s, origin=origin))
    return tuple(leases)


def _largest_first(registry: Registry, node: Node) -> list[InfoHash]:
    return sorted(node.have, key=lambda h: (-registry.torrents[h].torrent.size_bytes, h))


def _free(holdings: Holdings, node: Node) -> Pieces:
    """Return the pieces that the node lacks and nobody has leased."""
    return holdings.all & ~node.have[holdings.torrent.info_hash] & ~holdings.leased


def _run_length(holdings: Holdings, free: Pieces, sharers: int, limits: Limits) -> int:
    """Return how many pieces the next lease takes: large at first, few at the end (guided self-scheduling).

    Not one at a time: asking for a lease costs more than sending a small piece. At most `lease_bytes`, and on a slow
    uplink what it sends in `pipe_s`; or what a node's two leases fetch in a quarter of a second if that is more.
    """
    share = max(limits.least_pieces, free.bit_count() // (2 * max(1, sharers)))
    quarter_second = limits.uplink_bytes_per_s * 0.25 / (2 * max(1, sharers))
    pipe_bytes = max(limits.pipe_s * limits.uplink_bytes_per_s, limits.least_pieces * holdings.torrent.piece_bytes)
    most_bytes = max(min(limits.lease_bytes, pipe_bytes), quarter_second)
    return max(1, min(int(most_bytes / holdings.torrent.piece_bytes), share))


def _term_s(registry: Registry, size_bytes: int, limits: Limits) -> float:
    """Return how long a lease lasts without progress: three times what it takes when all leases share the uplink.

    As if `least_open` were out if there are fewer: a rack that starts asks for its documents over the same uplink.
    """
    sharers = max(registry.open_leases + 1, limits.least_open)
    return max(STALL_S, 3.0 * size_bytes * sharers / (limits.uplink_bytes_per_s * GOODPUT))
