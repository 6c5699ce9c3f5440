"""A piece that was handed in: nothing is heard of it, or it fails, and whose fault that is."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, cast

import pytest

from leecher.cache.reader import hash_of
from leecher.policy.events import PieceReceived
from leecher.policy.node_policy import Policy, Wanted
from leecher.policy.requests import AnnounceRequest, PieceRange
from leecher.swarm.counters import BootCounters
from leecher.swarm.piece_intake import PieceIntake
from swarmboot.errors import ArtifactError, ResourceError
from swarmboot.ids import InfoHash, NodeId, PieceIndex, Sequence
from tests.support.builders import build_artifact

if TYPE_CHECKING:
    from leecher.swarm.session import Swarm

ARTIFACT = build_artifact()
H = ARTIFACT.info_hash
RIGHT, WRONG = b"x", b"y"


class Silent:
    """A swarm that takes pieces and says nothing."""

    def __init__(self) -> None:
        self.taken = 0

    def insert(self, _info_hash: InfoHash, _index: int, _data: bytes) -> None:
        self.taken += 1


@pytest.fixture
def swarm() -> Silent:
    return Silent()


@pytest.fixture
def policy() -> Policy:
    wanted = {H: Wanted(H, ARTIFACT.pieces, ARTIFACT.piece_bytes)}
    return Policy(wanted, origin="https://a", now_s=0.0, random=Random(1))


@pytest.fixture
def intake(swarm: Silent, policy: Policy) -> PieceIntake:
    layer = [b""] * ARTIFACT.pieces
    layer[0] = hash_of(RIGHT, ARTIFACT)
    counters = BootCounters(NodeId(bytes(16)), 0.0)
    opened = PieceIntake({H: ARTIFACT}, policy, counters, Sequence(1), lambda _: tuple(layer))
    opened.open(cast("Swarm", swarm), now_s=0.0)
    return opened


def piece(data: bytes = RIGHT) -> PieceReceived:
    return PieceReceived(PieceRange(1, H, PieceIndex(0), 1, "https://a", None), 0, data)


def test_a_piece_that_comes_again_and_again_to_a_slow_node_is_no_fault(intake: PieceIntake, swarm: Silent) -> None:
    for number in range(100):
        intake.received(piece(), now_s=number / 10)
    assert swarm.taken == 100


def test_a_piece_that_libtorrent_says_nothing_of_for_long_ends_the_boot(intake: PieceIntake) -> None:
    for now_s in (0.0, 10.0, 19.0):
        intake.received(piece(), now_s=now_s)
    with pytest.raises(ResourceError, match="no word of it after 3 times in 20 s"):
        intake.received(piece(), now_s=20.0)


def test_a_piece_that_came_twice_is_no_fault_however_late(intake: PieceIntake, swarm: Silent) -> None:
    intake.received(piece(), now_s=0.0)
    intake.received(piece(), now_s=60.0)
    assert swarm.taken == 2


def test_an_origin_is_blamed_for_wrong_bytes_three_times_after_what_failed_first(
    intake: PieceIntake, swarm: Silent
) -> None:
    intake.received(piece(WRONG), now_s=0.0)
    intake.failed(H, 0)
    for now_s in (1.0, 2.0):
        intake.received(piece(WRONG), now_s=now_s)
    with pytest.raises(ArtifactError, match=r"the origin serves other bytes .* found 3 times another"):
        intake.received(piece(WRONG), now_s=3.0)
    assert swarm.taken == 1, "what is known to be wrong is not handed in"


def test_an_origin_is_not_blamed_for_right_bytes_that_a_neighbour_spoils(intake: PieceIntake, swarm: Silent) -> None:
    for now_s in range(10):
        intake.received(piece(), now_s=now_s)
        intake.failed(H, 0)
    assert swarm.taken == 10
    intake.received(piece(), now_s=11)
    intake.finished(H, 0)


def test_right_bytes_that_fail_for_ever_end_the_boot(intake: PieceIntake) -> None:
    for now_s in range(11):
        intake.received(piece(), now_s=now_s)
        intake.failed(H, 0)
    intake.received(piece(), now_s=12)
    with pytest.raises(ResourceError, match=r"spoiled on this machine.*12 times"):
        intake.failed(H, 0)


def slots(policy: Policy, now_s: float) -> int:
    """Return how many leases the node asks for."""
    policy.tell_soon()
    return next(each.free_lease_slots for each in policy.requests(now_s=now_s) if isinstance(each, AnnounceRequest))


def test_what_was_handed_in_is_told_for_as_long_as_libtorrent_gives_a_sign(intake: PieceIntake, policy: Policy) -> None:
    intake.received(piece(), now_s=0.0)
    for now_s, told in ((0.1, 1), (4.9, 1), (5.1, 0)):
        intake.tell(now_s=now_s)
        assert policy.in_hand.get(H, 0) == told
    policy.piece_arrived(H, 1, now_s=5.2)
    intake.tell(now_s=5.3)
    assert policy.in_hand == {H: 1}
    intake.finished(H, 0)
    intake.tell(now_s=5.4)
    assert policy.in_hand == {}


def test_a_piece_that_libtorrent_has_lost_is_fetched_again_although_others_come(
    intake: PieceIntake, policy: Policy
) -> None:
    intake.received(piece(), now_s=0.0)
    for now_s, told in ((10.0, {H: 1}), (29.0, {H: 1}), (31.0, {})):
        policy.piece_arrived(H, 1, now_s=now_s)
        intake.tell(now_s=now_s)
        assert policy.in_hand == told


def test_of_more_than_a_node_may_hold_that_waits_for_long_it_takes_no_more(
    intake: PieceIntake, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leecher.swarm.piece_intake.HELD_MAX_BYTES", 1)
    intake.received(piece(), now_s=0.0)
    for now_s, asks in ((0.9, True), (1.1, False)):
        intake.tell(now_s=now_s)
        assert bool(slots(policy, now_s)) == asks
    intake.finished(H, 0)
    intake.tell(now_s=1.2)
    assert slots(policy, 1.2) == 2


def test_what_libtorrent_has_lost_takes_no_room_for_ever(
    intake: PieceIntake, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leecher.swarm.piece_intake.HELD_MAX_BYTES", 1)
    intake.received(piece(), now_s=0.0)
    intake.tell(now_s=2.0)
    assert slots(policy, 2.0) == 0
    intake.tell(now_s=5.1)
    assert slots(policy, 5.1) == 2
