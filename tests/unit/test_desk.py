"""The front desk: what is in every answer, whatever else it is for."""

from __future__ import annotations

from random import Random

from seeder.desk import Desk
from seeder.handout import Limits
from seeder.registry import Registry, Torrent
from swarmboot import pieces
from swarmboot.ids import InfoHash, NodeId, Sequence
from swarmboot.wire import Announce, NodeState

ROOT = InfoHash(b"r" * 32)
PIECES = 64
UPLINK_BYTES_PER_S = 1.25e6


def announce(name: int, *, state: NodeState = NodeState.FETCHING, port: int = 0) -> Announce:
    have = {ROOT: pieces.encode(0, PIECES)}
    return Announce(NodeId(name.to_bytes(16, "big")), Sequence(1), state, port=port, have=have, slots=1)


def test_every_answer_names_the_uplink_even_one_that_only_ends_a_request() -> None:
    registry = Registry()
    registry.add_torrent(Torrent(ROOT, PIECES << 16, 1 << 16))
    desk = Desk(registry, Limits(uplink_bytes_per_s=UPLINK_BYTES_PER_S), random=Random(1))
    asked = [announce(name) for name in range(1, 20)]  # more than there are leases for: some are kept waiting
    again = [announce(name, port=6881) for name in range(1, 20)]
    leaving = [announce(name, state=NodeState.LEAVING) for name in range(1, 20)]
    answers, kept_waiting = [], 0
    for ticket, each in enumerate([*asked, *again, *leaving]):
        answers += desk.announce(ticket, each, host="10.0.0.1", now_s=0.0)
        kept_waiting += ticket not in {answer.ticket for answer in answers}
    assert kept_waiting
    assert len(answers) == len(asked) + len(again) + len(leaving)
    assert {answer.handout.uplink_bytes_per_s for answer in answers} == {UPLINK_BYTES_PER_S}
