"""Whom a node is introduced to: enough of its rack and a few others that pieces get around. Pure, as `granting` is."""

from __future__ import annotations

import math
from random import Random

from seeder.policy.facts.node import Node, Roster
from seeder.policy.facts.registry import Registry
from seeder.policy.limits import Limits
from seeder.policy.supply import piece_bytes_of
from swarmboot.wire.announce import Neighbour, NodeState

_MORE_NEIGHBOURS = 2
_LINKS_OF_THE_STARVING = 4


def choose_neighbours(registry: Registry, node: Node, *, limits: Limits, random: Random) -> tuple[Node, ...]:
    """Return nodes that `node` should connect to and has not been given yet.

    Own rack first, then enough others that the racks stay one connected graph: every node is given some of the nodes
    that were there before it, so the graph is connected by construction, and random, so it stays so when nodes die.
    Those with the fewest connections come first. A node that starves is given others, first those that have fetched
    leases: those it knows may not be reached, or not be nodes.
    """
    most = _links_most(node, limits)
    more = _MORE_NEIGHBOURS if node.is_starving and len(node.links) < most else 0
    rack = registry.racks[node.rack]
    if more and (known := _sample(registry, registry.standing.known, node, more, limits=limits, random=random)):
        return tuple(known)
    near = _sample(registry, rack, node, max(_near_wanted(registry, node, limits), more), limits=limits, random=random)
    is_one_rack = len(rack) == len(registry.everyone)
    wanted = 0 if is_one_rack else max(_far_wanted(registry, node, limits), more - len(near))
    far = _sample(registry, registry.everyone, node, wanted, limits=limits, random=random, is_far=True)
    return (*near, *far)


def _links_most(node: Node, limits: Limits) -> int:
    """Return how many links a node may have, or have whom it is to meet: those of a node that starves may be false."""
    return limits.links_most * (_LINKS_OF_THE_STARVING if node.is_starving else 1)


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
    is_slow = piece_bytes_of(registry, node) >= limits.long_piece_s * limits.uplink_bytes_per_s
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


def can_be_dialled(registry: Registry, node: Node) -> bool:
    """Return whether other nodes may reach a node where it is: not if several come through one proxy or NAT.

    One that is alone at its address may be behind a NAT that gives each node an address of its own.
    """
    return not (node.is_hidden and registry.standing.hidden_at[node.host] > 1)


def address(node: Node) -> Neighbour:
    """Return where a node is dialled."""
    return Neighbour(node.host, node.port, node.http_port)


def _sample(
    registry: Registry,
    roster: Roster,
    node: Node,
    count: int,
    *,
    limits: Limits,
    random: Random,
    is_far: bool = False,
) -> list[Node]:
    """Return up to `count` nodes that `node` can be introduced to: of twice as many at random, the least connected.

    All nodes of a small roster are looked at.
    """
    if count <= 0:
        return []
    most = _links_most(node, limits)

    def is_fit(other: Node) -> bool:
        is_stranger = other is not node and other.id not in node.links and len(other.links) < most
        is_gone = other.state is NodeState.LEAVING or other.is_starting or not can_be_dialled(registry, other)
        is_there = not is_gone and not (is_far and other.rack == node.rack)
        return is_stranger and is_there and not node.have.keys().isdisjoint(other.have)

    if len(roster) <= 4 * count:
        chosen = {other.id: other for other in roster if is_fit(other)}
    else:
        chosen = {}
        for _ in range(4 * count):
            other = roster.pick(random)
            if len(chosen) < 2 * count and is_fit(other):
                chosen[other.id] = other
    return sorted(chosen.values(), key=lambda other: (len(other.links), random.random()))[:count]
