"""When a node dials the neighbours that it is given: libtorrent by itself does so once a second."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from leecher.boot.head_start import HeadStart
from leecher.boot.options import BootOptions
from leecher.swarm.session import Swarm
from swarmboot.release import layout
from swarmboot.release.manifest import Artifact
from swarmboot.settings import build_settings
from swarmboot.wire.announce import Neighbour
from tests.support.loopback import build_fleet, build_release, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libtorrent 2.1 on calls that 2.0 needs

BOUND_S = 20.0


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, bytes]:
    """Return an artifact and its torrent."""
    folder = tmp_path_factory.mktemp("fleet")
    fleet = build_fleet(folder, build_release(folder / "release"))
    with serving(fleet) as seeder:
        given = {"server": seeder.address, "trust": str(fleet.pub), "ca": str(seeder.ca), "into": str(folder / "node")}
        head_start = HeadStart(
            BootOptions(build_settings({**given, "bind": "127.0.0.21", "reserve": "0"}), time.monotonic())
        ).begin()
        release = head_start.release()
        head_start.abandon()
    assert release is not None
    first = release.manifest.artifacts[0]
    return first, release.documents[layout.torrent_path(first.info_hash)]


def build_swarm(folder: Path, address: str, artifact: tuple[Artifact, bytes]) -> Swarm:
    """Return a swarm that has added the artifact and could start."""
    folder.mkdir()
    swarm = Swarm(bind=address, port=0, up_bytes_per_s=0.0)
    swarm.add(*artifact, folder, artifact[0].name)

    def could_start() -> bool:
        swarm.events()
        return bool(swarm.port) and swarm.is_checked(artifact[0].info_hash)

    wait_until("a torrent that could start", could_start)
    return swarm


def connections(swarm: Swarm, artifact: tuple[Artifact, bytes]) -> int:
    """Return how many connections libtorrent has, dialled ones that are not up yet included, whom Swarm passes over."""
    handle: Any = swarm._handles[artifact[0].info_hash]
    return int(handle.status().num_connections)


def test_a_node_that_has_begun_alone_dials_its_first_neighbours_at_once(
    tmp_path: Path, artifact: tuple[Artifact, bytes]
) -> None:
    info_hash = artifact[0].info_hash
    with ExitStack() as stack:
        node, other, third = (
            stack.enter_context(closing(build_swarm(tmp_path / name, address, artifact)))
            for name, address in (("node", "127.0.0.21"), ("other", "127.0.0.22"), ("third", "127.0.0.23"))
        )
        for swarm in (node, other, third):
            swarm.start(info_hash, ())
        assert connections(node, artifact) == 0
        node.connect(info_hash, (Neighbour("127.0.0.22", other.port, 0),))
        assert connections(node, artifact) == 1  # libtorrent has done in turn what it was asked, so this needs no time
        node.connect(info_hash, (Neighbour("127.0.0.23", third.port, 0),))
        assert connections(node, artifact) >= 1  # what is there stays
        wait_until("two connections", lambda: connections(node, artifact) == 2)


@pytest.mark.parametrize("bad", [("no address", 6881), ("127.0.0.22\n", 6881), ("", 1), ("127.0.0.22", 65536)])
def test_a_neighbour_that_libtorrent_refuses_costs_that_neighbour(
    tmp_path: Path, artifact: tuple[Artifact, bytes], bad: tuple[str, int]
) -> None:
    info_hash = artifact[0].info_hash
    with ExitStack() as stack:
        node, other = (
            stack.enter_context(closing(build_swarm(tmp_path / name, address, artifact)))
            for name, address in (("node", "127.0.0.21"), ("other", "127.0.0.22"))
        )
        other.start(info_hash, ())
        node.start(info_hash, (Neighbour(*bad), Neighbour("127.0.0.22", other.port)))
        wait_until("a connection", lambda: connections(node, artifact) > 0)
