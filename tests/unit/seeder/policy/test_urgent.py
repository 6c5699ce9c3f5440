"""What a boot reads is leased first, and what a program waits for at once."""

from __future__ import annotations

from random import Random

from seeder.policy.facts.torrent_state import Torrent
from seeder.policy.granting import lease_pieces, lease_urgent
from seeder.policy.tracker import Tracker
from swarmboot.ids import InfoHash, NodeId, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.announce import Announce, Lease, NodeState, decode_announce, encode_announce
from tests.support.registry import LIMITS, PIECE, PLUGIN, ROOT, build_registry, observe

WAITED = 1 << 40 | 1 << 9


def pieces_of(leases: tuple[Lease, ...]) -> int:
    pieces = 0
    for lease in leases:
        pieces |= piece_set.span(lease.first, lease.count)
    return pieces


def test_what_a_boot_reads_is_leased_before_anything_else_and_to_one_node_each() -> None:
    registry = build_registry()
    boot_set = piece_set.span(20, 3) | piece_set.span(50, 2)
    registry.add_torrent(Torrent(ROOT, 64 * PIECE, PIECE, boot_set))
    found: list[Lease] = []
    for name in range(1, 6):
        found += lease_pieces(registry, observe(registry, name), slots=1, now_s=0.0, limits=LIMITS)
    first, rest = pieces_of(tuple(found)) & boot_set, pieces_of(tuple(found)) & ~boot_set
    assert first == boot_set
    assert sum(lease.count for lease in found) == (first | rest).bit_count()
    indices = [index for lease in found for index in range(lease.first, lease.first + lease.count)]
    assert all(boot_set >> index & 1 for index in indices[: boot_set.bit_count()])


def test_a_trace_that_is_published_later_counts_for_a_torrent_that_is_known() -> None:
    registry = build_registry()
    node = observe(registry, 1, "#")
    registry.add_torrent(Torrent(ROOT, 64 * PIECE, PIECE, 1 << 33))
    assert registry.torrents[ROOT].held == 1
    (lease,) = lease_pieces(registry, node, slots=1, now_s=0.0, limits=LIMITS)
    assert (lease.first, lease.count) == (33, 1)


def test_what_is_waited_for_is_leased_to_one_node_alone() -> None:
    registry = build_registry()
    one, other = observe(registry, 1), observe(registry, 2)
    leases = lease_urgent(registry, one, {ROOT: WAITED}, now_s=0.0, limits=LIMITS)
    assert pieces_of(leases) == WAITED
    assert lease_urgent(registry, other, {ROOT: WAITED}, now_s=0.0, limits=LIMITS) == ()


def test_what_a_neighbour_has_is_not_leased_however_urgent() -> None:
    registry = build_registry()
    observe(registry, 1, "#" * 10)
    leases = lease_urgent(registry, observe(registry, 2), {ROOT: WAITED}, now_s=0.0, limits=LIMITS)
    assert pieces_of(leases) == 1 << 40


def test_pieces_that_are_none_and_torrents_that_the_node_does_not_fetch_are_left_alone() -> None:
    registry = build_registry()
    urgent = {ROOT: 1 << 64, PLUGIN: 1, InfoHash(b"?" * 32): 1}
    assert lease_urgent(registry, observe(registry, 1), urgent, now_s=0.0, limits=LIMITS) == ()


def test_a_node_that_waits_is_answered_at_once_though_it_fetches_two_leases_already() -> None:
    tracker = Tracker(build_registry(), LIMITS, random=Random(1))
    have = {ROOT: piece_set.encode(0, 64)}
    announce = Announce(
        NodeId(b"n" * 16), Sequence(1), NodeState.FETCHING, 6881, have=have, free_lease_slots=0, urgent={ROOT: WAITED}
    )
    (answer,) = tracker.announce(1, decode_announce(encode_announce(announce)), host="10.0.0.1", now_s=0.0)
    assert pieces_of(answer.handout.leases) == WAITED
