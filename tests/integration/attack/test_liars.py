"""A node among neighbours that lie, with a server that is slow or none: it boots, and the newest that is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.liars.lying_neighbours import Liar, documents_of, lying
from tests.support.loopback import Fleet, Leecher, asking, booting, build_fleet, build_release, hostile, serving

WARM = "127.0.0.2"


@dataclass(frozen=True, slots=True)
class Rack:
    """A fleet whose second release a warm node serves, and the documents of both releases."""

    fleet: Fleet
    old: dict[str, bytes]
    new: dict[str, bytes]

    def alone(self, *hosts: str) -> list[str | Path]:
        """Return the arguments of a node that has no server, only these to ask."""
        neighbours = ",".join(f"{host}:8471" for host in hosts)
        return ["--trust", self.fleet.pub, "--neighbours", neighbours, "--discovery", "off", "--timeout", "80s"]

    def beside(self, server: str) -> list[str | Path]:
        """Return the arguments of a node that has a server as well."""
        return ["--server", server, "--ca", self.fleet.folder / "state" / "ca.pem"]


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    folder = tmp_path_factory.mktemp("fleet")
    fleet = build_fleet(folder, build_release(folder / "first", size_bytes=400_000, seed=1))
    old = documents_of(fleet.site)
    fleet.publish(build_release(folder / "release", size_bytes=500_000, seed=2))
    with ExitStack() as stack:
        with serving(fleet) as seeder:
            warm = stack.enter_context(booting(folder, 1, *asking(seeder, fleet), "--linger"))
            warm.report()
        yield Rack(fleet, old, documents_of(fleet.site))


def boots_the_newest(rack: Rack, node: Leecher) -> str:
    """Wait for a node's end; return what it said. It must have the second release."""
    status, said = node.end()
    assert status == 0, said
    assert "Traceback" not in said
    assert node.report()["sequence"] == 2
    assert node.digests() == rack.fleet.digests(rack.fleet.folder / "release")
    return said


def test_an_old_release_does_not_win_over_a_newer_one_that_is_there(tmp_path: Path, rack: Rack) -> None:
    with lying("127.0.0.40", rack.old, claim=1) as old, booting(tmp_path, 5, *rack.alone(old.host, WARM)) as node:
        boots_the_newest(rack, node)


def test_a_neighbour_that_serves_less_than_it_claims_is_refused(tmp_path: Path, rack: Rack) -> None:
    with lying("127.0.0.40", rack.old, claim=1000) as liar, booting(tmp_path, 5, *rack.alone(liar.host, WARM)) as node:
        assert "serves an older release than it says" in boots_the_newest(rack, node)
        assert liar.asked.count("channels/stable.swarm") == 1


def test_liars_who_claim_the_most_and_stall_keep_nobody_from_being_asked(tmp_path: Path, rack: Rack) -> None:
    with ExitStack() as stack:
        liars = [
            stack.enter_context(lying(f"127.0.0.{host}", {}, claim=10**9, fault="stalls", about="", ports=4))
            for host in range(40, 60)
        ]
        node = stack.enter_context(booting(tmp_path, 5, *rack.alone(*(liar.host for liar in liars), WARM)))
        boots_the_newest(rack, node)
        assert all("channels/stable.swarm" in liar.asked for liar in liars[:3])


@pytest.mark.parametrize("fault", ["404", "stalls", "endless", "drips", "wrong", "odd"])
def test_neighbours_with_bad_torrents_stop_no_boot(tmp_path: Path, rack: Rack, fault: str) -> None:
    with ExitStack() as stack:
        liars: list[Liar] = [
            stack.enter_context(lying(f"127.0.0.{host}", rack.new, claim=2, fault=fault)) for host in range(40, 44)
        ]
        node = stack.enter_context(booting(tmp_path, 5, *rack.alone(*(liar.host for liar in liars), WARM)))
        boots_the_newest(rack, node)


@pytest.mark.parametrize("fault", ["stalls", "endless", "drips"])
def test_neighbours_with_bad_manifests_stop_no_boot(tmp_path: Path, rack: Rack, fault: str) -> None:
    with ExitStack() as stack:
        liars: list[Liar] = [
            stack.enter_context(lying(f"127.0.0.{host}", rack.new, claim=2, fault=fault, about="manifests/"))
            for host in range(40, 44)
        ]
        node = stack.enter_context(booting(tmp_path, 5, *rack.alone(*(liar.host for liar in liars), WARM)))
        boots_the_newest(rack, node)


def test_a_server_that_answers_late_is_waited_for_when_a_neighbour_has_less(tmp_path: Path, rack: Rack) -> None:
    with lying("127.0.0.40", rack.old, claim=1) as old, hostile(rack.fleet, "late channel") as server:
        arguments = [*rack.alone(old.host), *rack.beside(server.address)]
        with booting(tmp_path, 5, *arguments) as node:
            boots_the_newest(rack, node)


def test_a_server_that_drips_every_answer_is_done_without(tmp_path: Path, rack: Rack) -> None:
    with hostile(rack.fleet, "drips headers") as server:
        arguments = [*rack.alone(WARM), *rack.beside(server.address)]
        with booting(tmp_path, 5, *arguments) as node:
            boots_the_newest(rack, node)
