"""The tracker: what is in every answer, whatever else it is for."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from seeder.policy.facts.node import ImpostorError
from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import Torrent
from seeder.policy.limits import Limits
from seeder.policy.tracker import Tracker
from swarmboot.ids import InfoHash, NodeId, NodeKey, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.announce import Announce, Handout, Neighbour, NodeState

ROOT = InfoHash(b"r" * 32)
PIECES = 64
UPLINK_BYTES_PER_S = 1.25e6


def announce(name: int, *, state: NodeState = NodeState.FETCHING, port: int = 0) -> Announce:
    have = {ROOT: piece_set.encode(0, PIECES)}
    return Announce(NodeId(name.to_bytes(16, "big")), Sequence(1), state, port=port, have=have, free_lease_slots=1)


def build_tracker() -> Tracker:
    registry = Registry()
    registry.add_torrent(Torrent(ROOT, PIECES << 16, 1 << 16))
    return Tracker(registry, Limits(uplink_bytes_per_s=UPLINK_BYTES_PER_S), random=Random(1))


def test_every_answer_names_the_uplink_even_one_that_only_ends_a_request() -> None:
    tracker = build_tracker()
    asked = [announce(name) for name in range(1, 20)]  # more than there are leases for: some are kept waiting
    again = [announce(name, port=6881) for name in range(1, 20)]
    leaving = [announce(name, state=NodeState.LEAVING) for name in range(1, 20)]
    answers, kept_waiting = [], 0
    for ticket, each in enumerate([*asked, *again, *leaving]):
        answers += tracker.announce(ticket, each, host="10.0.0.1", now_s=0.0)
        kept_waiting += ticket not in {answer.ticket for answer in answers}
    assert kept_waiting
    assert len(answers) == len(asked) + len(again) + len(leaving)
    assert {answer.handout.uplink_bytes_per_s for answer in answers} == {UPLINK_BYTES_PER_S}


def test_the_first_that_can_be_dialled_waits_for_a_lease_only_once_it_knows_that_it_is_the_first() -> None:
    tracker = build_tracker()
    for name in range(1, 20):  # all leases go to nodes that are still starting
        tracker.announce(name, announce(name), host="10.0.0.1", now_s=0.0)
    (answer,) = tracker.announce("opened", announce(30, port=6881), host="10.0.0.30", now_s=0.5)
    assert answer.ticket == "opened"
    assert answer.handout.neighbours == ()
    assert answer.handout.announce_after_s == 0.0
    assert tracker.announce("again", announce(30, port=6881), host="10.0.0.30", now_s=0.6) == []


def test_racks_that_nobody_stands_in_are_forgotten() -> None:
    tracker = build_tracker()
    for name in range(1, 1000):
        for state in (NodeState.FETCHING, NodeState.LEAVING):
            there = replace(announce(name, state=state, port=6881), rack=f"rack {name}")
            tracker.announce(name, there, host="10.0.0.66", now_s=name)
    assert not tracker.registry.racks
    assert not tracker.registry.far_links


SERVES = (Neighbour("10.0.0.7", 6881, 8471),)


def stage0_of(*, state: NodeState = NodeState.FETCHING, port: int = 6881, own_end: str = "") -> Handout:
    """Return what a node is told by a tracker that asks everybody to serve stage 0."""
    tracker = build_tracker()
    tracker.is_stage0_wanted = True
    tracker.invite = lambda _node, _now_s: SERVES
    said = replace(announce(1, state=state, port=port), own_end=own_end, free_lease_slots=0)
    (answer,) = tracker.announce("first", said, host="10.0.0.1", now_s=0.0)
    return answer.handout


@pytest.mark.parametrize("port", [0, 6881])
def test_a_node_that_fetches_is_asked_for_stage_0_and_told_where_to_take_it(port: int) -> None:
    handout = stage0_of(port=port)
    assert handout.is_stage0_wanted
    assert handout.stage0_from == SERVES


def test_a_node_that_nobody_can_reach_is_not_asked_for_stage_0() -> None:
    assert not stage0_of(own_end="192.168.0.9").is_stage0_wanted


def test_a_complete_node_is_asked_for_stage_0_without_a_source_as_its_swarm_has_it() -> None:
    handout = stage0_of(state=NodeState.COMPLETE)
    assert handout.is_stage0_wanted
    assert handout.stage0_from == ()


def test_without_neighbours_that_serve_nobody_is_asked() -> None:
    tracker = build_tracker()
    said = replace(announce(1, port=6881), free_lease_slots=0)
    (answer,) = tracker.announce("first", said, host="10.0.0.1", now_s=0.0)
    assert not answer.handout.is_stage0_wanted


def heard(tracker: Tracker, have: int, sent_ms: int, *, ticket: str, key: bytes = b"k" * 16, **said: Any) -> list[int]:
    """Let a node that has its first so many pieces announce; return which pieces it is leased in the answer."""
    pieces = {ROOT: piece_set.encode(piece_set.span(0, have), PIECES)}
    told = replace(announce(1, port=6881), have=pieces, sent_ms=sent_ms, key=NodeKey(key), **said)
    answers = tracker.announce(ticket, told, host="10.0.0.1", now_s=sent_ms / 1000)
    leases = (lease for answer in answers if answer.ticket == ticket for lease in answer.handout.leases)
    return [index for lease in leases for index in range(lease.first, lease.first + lease.count)]


def test_an_announce_that_a_later_one_has_overtaken_gets_no_piece_that_is_there_once_more() -> None:
    tracker = build_tracker()
    heard(tracker, 0, 1000, ticket="first")
    leased = heard(tracker, 32, 3000, ticket="later", free_lease_slots=2)
    assert leased
    assert min(leased) >= 32
    assert heard(tracker, 0, 2000, ticket="overtaken") == []
    node = tracker.registry.nodes[NodeId((1).to_bytes(16, "big"))]
    assert node.have[ROOT] == piece_set.span(0, 32)
    assert piece_set.of(leased) & ~tracker.registry.torrents[ROOT].leased == 0
    again = heard(tracker, 32, 4000, ticket="last", free_lease_slots=2)
    assert not set(again) & {*leased, *range(32)}


def test_an_announce_that_was_overtaken_still_gives_leases_back() -> None:
    tracker = build_tracker()
    heard(tracker, 0, 1000, ticket="first")
    (lease,) = tracker.registry.nodes[NodeId((1).to_bytes(16, "big"))].leases
    heard(tracker, 0, 3000, ticket="later", free_lease_slots=0)
    heard(tracker, 0, 2000, ticket="overtaken", returned=(lease,))
    assert not tracker.registry.nodes[NodeId((1).to_bytes(16, "big"))].leases


@pytest.mark.parametrize("sent_ms", [0, 1])
def test_an_announce_without_a_time_or_of_a_clock_that_began_anew_is_taken_as_it_is(sent_ms: int) -> None:
    tracker = build_tracker()
    heard(tracker, 32, 100_000, ticket="first")
    pieces = {ROOT: piece_set.encode(0, PIECES)}
    anew = replace(announce(1, port=6881), have=pieces, sent_ms=sent_ms, key=NodeKey(b"k" * 16))
    tracker.announce("anew", anew, host="10.0.0.1", now_s=100.0)
    assert tracker.registry.nodes[NodeId((1).to_bytes(16, "big"))].have[ROOT] == 0


def test_whoever_has_not_a_nodes_key_overtakes_nothing() -> None:
    tracker = build_tracker()
    heard(tracker, 0, 1000, ticket="first")
    with pytest.raises(ImpostorError):
        heard(tracker, 32, 500, ticket="another's", key=b"l" * 16)
