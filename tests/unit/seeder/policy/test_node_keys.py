"""Who speaks for a node: whoever has the key that began it, or without a key its address."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from seeder.policy.allowance import Allowance
from seeder.policy.facts.node import ImpostorError
from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import Torrent
from seeder.policy.limits import Limits
from seeder.policy.tracker import STRANGERS_REPORTS, Tracker
from swarmboot.ids import InfoHash, NodeId, NodeKey, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.announce import Announce, NodeState
from swarmboot.wire.report import BOOTED, BootReport

ROOT = InfoHash(b"r" * 32)
NODE = NodeId(b"n" * 16)
KEY, OTHER, NONE = NodeKey(b"k" * 16), NodeKey(b"o" * 16), NodeKey(b"")
HOME, ELSEWHERE = "10.0.0.1", "10.0.0.66"
REPORT = BootReport(NODE.hex(), BOOTED)


def announce(key: NodeKey, *, state: NodeState = NodeState.FETCHING) -> Announce:
    return Announce(
        NODE, Sequence(1), state, port=6881, have={ROOT: piece_set.encode(0, 64)}, free_lease_slots=1, key=key
    )


def build_tracker(key: NodeKey) -> Tracker:
    registry = Registry()
    registry.add_torrent(Torrent(ROOT, 64 << 16, 1 << 16))
    tracker = Tracker(registry, Limits(uplink_bytes_per_s=1.25e6), random=Random(1))
    tracker.announce("first", announce(key), host=HOME, now_s=0.0)
    return tracker


@pytest.mark.parametrize("state", NodeState)
@pytest.mark.parametrize(
    ("began", "comes", "host"),
    [(KEY, OTHER, HOME), (KEY, NONE, HOME), (NONE, NONE, ELSEWHERE), (NONE, KEY, HOME)],
)
def test_nobody_else_moves_or_removes_a_node(state: NodeState, began: NodeKey, comes: NodeKey, host: str) -> None:
    tracker = build_tracker(began)
    before = replace(tracker.registry.nodes[NODE])
    with pytest.raises(ImpostorError):
        tracker.announce("second", announce(comes, state=state), host=host, now_s=1.0)
    assert tracker.registry.nodes[NODE] == before


@pytest.mark.parametrize(("key", "host"), [(KEY, HOME), (KEY, ELSEWHERE), (NONE, HOME)])
def test_a_node_speaks_for_itself_with_its_key_from_anywhere_and_without_one_from_its_address(
    key: NodeKey, host: str
) -> None:
    tracker = build_tracker(key)
    tracker.announce("second", announce(key), host=host, now_s=1.0)
    assert tracker.registry.nodes[NODE].host == host
    tracker.announce("third", announce(key, state=NodeState.LEAVING), host=host, now_s=2.0)
    assert not tracker.registry.nodes


def test_an_id_whose_node_has_left_is_free() -> None:
    tracker = build_tracker(KEY)
    tracker.announce("second", announce(KEY, state=NodeState.LEAVING), host=HOME, now_s=1.0)
    tracker.announce("third", announce(OTHER), host=ELSEWHERE, now_s=2.0)
    assert tracker.registry.nodes[NODE].host == ELSEWHERE


@pytest.mark.parametrize(("key", "is_believed"), [(KEY, True), (OTHER, False), (NONE, False)])
def test_a_report_of_a_node_that_announced_needs_its_key(key: NodeKey, is_believed: bool) -> None:
    tracker = build_tracker(KEY)
    assert tracker.believes(replace(REPORT, key=key), host=HOME, now_s=1.0) is is_believed


@pytest.mark.parametrize("name", [b"f".hex() * 16, "no id", ""])
def test_reports_of_nodes_that_never_announced_are_taken_within_a_rate(name: str) -> None:
    tracker = build_tracker(KEY)
    taken = sum(tracker.believes(BootReport(name, BOOTED), host=ELSEWHERE, now_s=1.0) for _ in range(10_000))
    assert taken == STRANGERS_REPORTS
    assert tracker.believes(BootReport(name, BOOTED), host=HOME, now_s=1.0)
    assert tracker.believes(BootReport(name, BOOTED), host=ELSEWHERE, now_s=2.0)


def test_all_addresses_together_have_four_times_what_one_may_have() -> None:
    allowance = Allowance(per_s=1.0, burst=10.0)
    assert sum(allowance.take(f"10.0.0.{n % 100}", now_s=0.0) for n in range(2000)) == 40
    assert sum(allowance.take(f"10.0.1.{n % 100}", now_s=1.0) for n in range(2000)) == 4
