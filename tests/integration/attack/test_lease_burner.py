"""A client that takes every lease it can get and fetches none, against a real seeder and real leechers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from seeder.policy.facts.registry import Registry
from seeder.site.catalogue import Catalogue
from swarmboot.ids import InfoHash
from swarmboot.release import piece_set
from swarmboot.wire.announce import Announce, Lease, NodeState
from tests.support.liars import lying_host
from tests.support.liars.lying_host import Liar
from tests.support.loopback import Fleet, Seeder, asking, booting, build_fleet, build_release, serving

SIZE_BYTES = 12_000_000
UPLINK_BYTES_PER_S = 12.5e6
NODES = 3
Lie = Callable[[Announce, list[Lease]], Announce]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    release = build_release(tmp_path_factory.mktemp("release"), size_bytes=SIZE_BYTES)
    return build_fleet(tmp_path_factory.mktemp("fleet"), release)


def torrents(fleet: Fleet) -> dict[InfoHash, int]:
    registry = Registry()
    Catalogue(fleet.site, registry).refresh()
    return {info_hash: state.torrent.count for info_hash, state in registry.torrents.items()}


@contextmanager
def lying(seeder: Seeder, fleet: Fleet, lie: Lie) -> Iterator[list[Lease]]:
    """Announce as `lie` says, again and again, with all leases that were got; yield those."""
    have = {info_hash: piece_set.encode(0, count) for info_hash, count in torrents(fleet).items()}
    announce, got, stop = lying_host.announce(have=have, free_lease_slots=64), list[Lease](), threading.Event()

    def run() -> None:
        fresh: list[Lease] = []
        with Liar(seeder) as mallory:
            while not stop.is_set():
                status, handout = mallory.announce(lie(announce, fresh))
                assert status == 200
                fresh = list(handout.leases) if handout else []
                got.extend(fresh)
                stop.wait(0.05)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield got
    finally:
        stop.set()
        thread.join()


def say_received(announce: Announce, fresh: list[Lease]) -> Announce:
    """Say of each lease that it is received."""
    return replace(announce, received=tuple(lease.id for lease in fresh))


def give_back(announce: Announce, fresh: list[Lease]) -> Announce:
    """Give each lease back at once."""
    return replace(announce, returned=tuple(lease.id for lease in fresh))


@pytest.mark.parametrize("lie", [say_received, give_back])
def test_a_rack_beside_a_lease_burner_needs_no_rescue_and_little_more_than_one_copy(
    fleet: Fleet, tmp_path: Path, lie: Lie
) -> None:
    with ExitStack() as stack:
        seeder = stack.enter_context(serving(fleet, "--uplink", "100mbit"))
        got = stack.enter_context(lying(seeder, fleet, lie))
        nodes = [
            stack.enter_context(booting(tmp_path, number, *asking(seeder, fleet), "--linger"))
            for number in range(1, NODES + 1)
        ]
        reports = [node.report() for node in nodes]
        assert got
    assert sum(report["rescues"] for report in reports) == 0
    assert sum(report["bytes_from"]["origin"] for report in reports) < 1.5 * SIZE_BYTES


def test_what_only_a_liar_has_is_leased_to_who_waits_for_it(fleet: Fleet, tmp_path: Path) -> None:
    have = {h: piece_set.encode(piece_set.all_pieces(count), count) for h, count in torrents(fleet).items()}

    def say_all(announce: Announce, _fresh: list[Lease]) -> Announce:
        return replace(announce, state=NodeState.COMPLETE, port=9, free_lease_slots=0, have=have)

    with (
        serving(fleet, "--uplink", "100mbit") as seeder,
        lying(seeder, fleet, say_all),
        booting(tmp_path, 1, *asking(seeder, fleet)) as node,
    ):
        report = node.report()
    assert report["rescues"] == 0
    assert report["bytes_from"]["origin"] >= SIZE_BYTES
