"""Nodes that come through a proxy or NAT: who is told of whom, and whom they dial themselves."""

from __future__ import annotations

from random import Random

import pytest

from leecher.policy.lookout import DIALLED_MAX, HEARD_MAX, Lookout
from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import Torrent
from seeder.policy.limits import Limits
from seeder.policy.tracker import Tracker
from swarmboot.ids import InfoHash, NodeId, Sequence
from swarmboot.release import piece_set
from swarmboot.wire import announce as wire
from swarmboot.wire.announce import Announce, Handout, Neighbour, NodeState

ROOT = InfoHash(b"r" * 32)
PROXY = "172.17.0.1"


def build_tracker() -> Tracker:
    registry = Registry()
    registry.add_torrent(Torrent(ROOT, 64 << 16, 1 << 16))
    return Tracker(registry, Limits(uplink_bytes_per_s=1e6), random=Random(1))


def announce(
    tracker: Tracker, number: int, *, host: str, own_end: str, state: NodeState = NodeState.FETCHING
) -> Handout:
    """Have node `number` announce; return its handout, which is due at once as it asks for no lease."""
    node = NodeId(number.to_bytes(16, "big"))
    told = Announce(node, Sequence(1), state, 6881 + number, have={ROOT: piece_set.encode(0, 64)}, own_end=own_end)
    told = wire.decode_announce(wire.encode_announce(told))
    answers = tracker.announce(number, told, host=host, now_s=float(number))
    (answer,) = [each for each in answers if each.ticket == number]
    return wire.decode_handout(wire.encode_handout(answer.handout))


def test_nodes_behind_one_address_are_told_so_and_not_of_each_other() -> None:
    tracker = build_tracker()
    handouts = [announce(tracker, number, host=PROXY, own_end=f"192.168.1.{number}") for number in range(1, 5)]
    assert all(handout.is_hidden for handout in handouts)
    assert handouts[2].neighbours == handouts[3].neighbours == ()
    assert dict(tracker.registry.standing.hidden_at) == {PROXY: 4}


def test_nodes_that_are_seen_where_they_are_hear_of_each_other_as_ever() -> None:
    tracker = build_tracker()
    announce(tracker, 1, host="10.0.0.1", own_end="10.0.0.1")
    announce(tracker, 2, host="10.0.0.2", own_end="")
    handout = announce(tracker, 3, host="10.0.0.3", own_end="::ffff:10.0.0.3")
    assert not handout.is_hidden
    assert {each.host for each in handout.neighbours} == {"10.0.0.1", "10.0.0.2"}


def test_nobody_else_is_told_of_nodes_behind_one_address_and_of_one_alone_there_is() -> None:
    tracker = build_tracker()
    announce(tracker, 1, host="10.0.0.9", own_end="192.168.1.1")
    for number in (2, 3):
        announce(tracker, number, host=PROXY, own_end=f"192.168.1.{number}")
    told = announce(tracker, 4, host="10.0.0.4", own_end="10.0.0.4").neighbours
    assert {each.host for each in told} == {"10.0.0.9"}


def test_where_a_node_says_it_is_is_told_to_nobody() -> None:
    tracker = build_tracker()
    announce(tracker, 1, host="10.0.0.66", own_end="10.0.0.7")
    told = announce(tracker, 2, host="10.0.0.2", own_end="10.0.0.2").neighbours
    assert {each.host for each in told} == {"10.0.0.66"}


def test_who_leaves_or_is_no_longer_hidden_is_counted_no_more() -> None:
    tracker = build_tracker()
    for number in (1, 2):
        announce(tracker, number, host=PROXY, own_end=f"192.168.1.{number}")
    announce(tracker, 1, host=PROXY, own_end=PROXY)
    assert dict(tracker.registry.standing.hidden_at) == {PROXY: 1}
    announce(tracker, 2, host=PROXY, own_end="192.168.1.2", state=NodeState.LEAVING)
    assert not tracker.registry.standing.hidden_at


@pytest.mark.parametrize("text", ["boot.example", "'; halt", "10.0.0.256", "fe80::1%eth0"])
def test_an_own_end_that_is_no_address_is_passed_over(text: str) -> None:
    told = Announce(NodeId(bytes(16)), Sequence(1), NodeState.FETCHING, 6881, own_end=text)
    assert wire.decode_announce(wire.encode_announce(told)).own_end == ""


def neighbours(count: int) -> list[Neighbour]:
    return [Neighbour(f"192.168.{number >> 8}.{number & 255}", 6881) for number in range(1, count + 1)]


def test_a_hidden_node_dials_eight_of_a_rack_and_not_all_the_same_eight() -> None:
    chosen: set[Neighbour] = set()
    for seed in range(20):
        lookout = Lookout(Random(seed))
        for each in neighbours(64):
            lookout.hear(each)
        first = lookout.choose(is_hidden=True)
        assert len(first) == DIALLED_MAX
        assert lookout.has_enough
        assert lookout.choose(is_hidden=True) == ()
        chosen.update(first)
    assert len(chosen) > 40


def test_a_node_that_is_left_alone_dials_all_it_hears_of_within_a_bound() -> None:
    lookout = Lookout(Random(1))
    for each in neighbours(3 * HEARD_MAX):
        lookout.hear(each)
    assert len(lookout.choose(is_hidden=False)) == HEARD_MAX
    assert lookout.choose(is_hidden=False) == ()
