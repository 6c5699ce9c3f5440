"""A seeder's registry on paper: one torrent, and nodes that announce by number."""

from __future__ import annotations

from seeder.policy.facts.node import Node
from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import Torrent
from seeder.policy.limits import Limits
from swarmboot.ids import InfoHash, LeaseId, NodeId, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.announce import Announce, NodeState

ROOT = InfoHash(b"r" * 32)
PLUGIN = InfoHash(b"p" * 32)
LIMITS = Limits(uplink_bytes_per_s=12.5e6)
SLOW = Limits(uplink_bytes_per_s=625e3)
PIECE = 1 << 16


def build_registry(*, count: int = 64) -> Registry:
    registry = Registry()
    registry.add_torrent(Torrent(ROOT, count * PIECE, PIECE))
    registry.add_torrent(Torrent(PLUGIN, 3 * PIECE, PIECE))
    return registry


def observe(
    registry: Registry,
    name: int,
    have: str = "",
    *,
    now_s: float = 0.0,
    rack: str = "",
    state: NodeState = NodeState.FETCHING,
    is_starving: bool = False,
    from_neighbours: int = 0,
    from_origin: int = 0,
    received: tuple[LeaseId, ...] = (),
    port: int = 6881,
) -> Node:
    """Observe a node; `have` has a character a piece, `#` for one that is there; the rest is lacking."""
    count = registry.torrents[ROOT].torrent.count
    held = piece_set.of(index for index, mark in enumerate(have) if mark == "#")
    announce = Announce(
        NodeId(name.to_bytes(16, "big")),
        Sequence(1),
        state,
        port=port,
        rack=rack,
        have={ROOT: piece_set.encode(held, count)},
        is_starving=is_starving,
        from_neighbours_bytes=from_neighbours,
        from_origin_bytes=from_origin,
        received=received,
    )
    return registry.observe(announce, host=f"10.0.0.{name}", now_s=now_s)
