"""The recorder: how it takes over what the registry knows."""

from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import MockClock

from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import Torrent
from seeder.record.recorder import SWEEP_S, Recorder
from seeder.site.catalogue import Catalogue
from swarmboot.ids import InfoHash, NodeId, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.about import About
from swarmboot.wire.announce import Announce, NodeState

IMAGE = Torrent(InfoHash(b"i" * 32), 1 << 30, 1 << 20)
NODES = 200


def said(number: int, *, pieces: int = 10) -> Announce:
    """Return an announce of a node that has so many pieces."""
    about = About(f"{number:08x}-0000-4000-8000-000000000000", f"52:54:00:00:00:{number:02x}", f"node{number}", "", "")
    have = {IMAGE.info_hash: piece_set.encode(piece_set.of(range(pieces)), IMAGE.count)}
    return Announce(NodeId(number.to_bytes(16, "big")), Sequence(1), NodeState.FETCHING, 6881, have=have, about=about)


def test_others_are_answered_while_a_large_fleet_is_swept_and_a_node_may_go_meanwhile(tmp_path: Path) -> None:
    registry = Registry()
    registry.add_torrent(IMAGE)
    recorder = Recorder(registry, Catalogue(tmp_path, registry), clock=lambda: 1000.0, steady=lambda: 10.0)
    for number in range(NODES):
        registry.observe(said(number, pieces=0), host=f"10.0.0.{number}", now_s=10.0)
        recorder.announced(said(number, pieces=0), host=f"10.0.0.{number}")
        registry.observe(said(number), host=f"10.0.0.{number}", now_s=11.0)

    def have_bytes(number: int) -> int:
        boot = recorder.find(f"node{number}")
        assert boot is not None
        return boot.have_bytes

    async def until_known(number: int) -> None:
        while not have_bytes(number):
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        async with recorder.running():
            await trio.testing.wait_all_tasks_blocked()
            clock.jump(SWEEP_S)
            await until_known(0)
            assert not have_bytes(NODES - 1)
            registry.forget(NodeId((NODES - 1).to_bytes(16, "big")))
            await until_known(NODES - 2)
            assert not have_bytes(NODES - 1)

    trio.run(main, clock=MockClock())
    assert have_bytes(NODES - 2) == 10 << 20


def test_what_a_node_has_is_known_from_its_first_announce_and_from_the_first_after_a_silence(tmp_path: Path) -> None:
    registry = Registry()
    registry.add_torrent(IMAGE)
    recorder = Recorder(registry, Catalogue(tmp_path, registry), clock=lambda: 1000.0, steady=lambda: 10.0)
    for pieces in (10, 20):
        registry.observe(said(1, pieces=pieces), host="10.0.0.1", now_s=9.9)  # before the recorder hears of it
        recorder.announced(said(1, pieces=pieces), host="10.0.0.1")
        recorder.sweep()
        boot = recorder.find("node1")
        assert boot is not None
        assert boot.have_bytes == pieces << 20
        registry.forget(NodeId((1).to_bytes(16, "big")))
        recorder.sweep()
