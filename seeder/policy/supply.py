"""Whether neighbours send a node what it lacks, as fast as the server could, and how long it is given to find out.

Pure: `now_s` comes in. Seconds, bytes, bytes per second. What the server then does about it is decided in
`seeder.policy.granting`.
"""

from __future__ import annotations

from seeder.policy.facts.node import Node
from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import TorrentState
from seeder.policy.limits import Limits
from swarmboot.text.units import GOODPUT

_PATIENCE_WITH_PROGRESS = 3.0
_FETCHERS_A_SEED = 2
_STRANGERS_COUNTED = 64
"""So many nodes without credit count at least; of more, only as many as there are with it: anybody can invent some."""


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
    seeds = min(len(registry.torrent_state(info_hash).seeds) for info_hash in node.have)
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
    """Return how many nodes fetch what a node fetches: of its torrents, of the one that most do."""
    most = 0
    for info_hash in node.have:
        most = max(most, sharers_of(registry.torrents[info_hash]))
    return most


def sharers_of(state: TorrentState) -> int:
    """Return how many nodes fetch a torrent, as far as they count."""
    known = len(state.known)
    return counted(known, len(state.fetchers) - known, least=_STRANGERS_COUNTED)


def counted(known: int, strangers: int, *, least: int) -> int:
    """Return how many nodes count: all that are known, and of strangers no more, or `least` if that is more."""
    return known + min(strangers, max(least, known))


def piece_bytes_of(registry: Registry, node: Node) -> int:
    """Return the largest piece length of a node's torrents."""
    most = 1
    for info_hash in node.have:
        most = max(most, registry.torrents[info_hash].torrent.piece_bytes)
    return most
