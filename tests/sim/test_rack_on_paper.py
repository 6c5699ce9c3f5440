"""Whole boots of the tracker and the policies on simulated time: each byte once, nobody stuck, whatever happens."""

from __future__ import annotations

import pytest

from tests.support.racks.paper_rack import PIECE_BYTES, PaperRack


@pytest.mark.parametrize("count", [1, 2, 3, 8, 40])
def test_every_piece_leaves_the_server_once(count: int) -> None:
    rack = PaperRack(count)
    rack.run()
    assert sum(rack.sent.values()) == rack.count


@pytest.mark.parametrize("count", [1, 8, 40])
def test_the_last_node_is_done_soon_after_the_server_has_sent_one_copy(count: int) -> None:
    rack = PaperRack(count)
    rack.run()
    limit_s = rack.count * PIECE_BYTES / rack.uplink
    assert max(node.done_s or 0.0 for node in rack.nodes) < 1.15 * limit_s + 0.2


def test_nodes_share_the_work_of_scattering() -> None:
    rack = PaperRack(8)
    rack.run()
    assert min(node.from_origin for node in rack.nodes) > rack.count / 8 / 2


def test_a_latecomer_takes_nothing_from_the_server() -> None:
    rack = PaperRack(9, arrivals=lambda index: 30.0 if index == 8 else 0.0)
    rack.run()
    assert rack.nodes[8].from_origin == 0


def test_a_node_that_dies_with_leases_holds_nobody_up() -> None:
    rack = PaperRack(8)
    rack.at(0.5, lambda: rack.kill(3))
    rack.run(until_s=30)
    assert sum(rack.sent.values()) < 1.2 * rack.count


def test_nodes_that_cannot_reach_each_other_are_no_slower_than_plain_https() -> None:
    rack = PaperRack(4, can_swap=False)
    rack.run()
    plain_s = 4 * rack.count * PIECE_BYTES / rack.uplink
    assert max(node.done_s or 0.0 for node in rack.nodes) < 1.15 * plain_s + 2.0


def test_a_seeder_that_stops_answering_leaves_plain_https() -> None:
    rack = PaperRack(3)

    def stop() -> None:
        rack.is_seeder_up = False

    rack.at(0.3, stop)
    rack.run(until_s=30)


def test_staggered_nodes_cost_the_server_one_copy_together() -> None:
    rack = PaperRack(12, arrivals=lambda index: index * 0.5)
    rack.run()
    assert sum(rack.sent.values()) <= 1.1 * rack.count


def test_a_large_rack_behind_a_slow_uplink_does_not_complain_before_pieces_can_have_come() -> None:
    rack = PaperRack(64, uplink=625e3, swap_s=2.0)
    rack.run(until_s=60)
    assert sum(rack.sent.values()) <= 1.05 * rack.count


def test_nodes_without_neighbours_behind_a_slow_uplink_are_no_slower_than_plain_https() -> None:
    rack = PaperRack(16, uplink=625e3, pieces_count=64, can_swap=False)
    rack.run()
    plain_s = 16 * rack.count * PIECE_BYTES / rack.uplink
    assert max(node.done_s or 0.0 for node in rack.nodes) < 1.15 * plain_s + 2.0
