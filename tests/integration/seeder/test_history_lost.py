"""A disk that is full costs history and no service: real seeder, a bound on the size of its files."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from seeder.record.store import read_history
from swarmboot.wire.announce import NodeState
from tests.bench.seeder import image_of
from tests.integration.seeder.test_record import get
from tests.support.loopback import Fleet, asking, booting, build_fleet, build_release, serving
from tests.support.racks.simulated import SimulatedNode, Target
from tests.support.waiting import wait_until

NODES = 60
SIZE_MAX_BYTES = 64 << 10


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("full")
    return build_fleet(folder, build_release(folder / "release", size_bytes=400_000))


@pytest.mark.needs("prlimit")
def test_a_full_disk_costs_history_and_no_service_and_is_told_once(fleet: Fleet, tmp_path: Path) -> None:
    state = fleet.folder / "state"
    with serving(fleet, launcher=("prlimit", f"--fsize={SIZE_MAX_BYTES}:unlimited")) as seeder:
        image = image_of(fleet.site)
        target = Target(seeder.address, seeder.ca, image.info_hash, image.pieces)

        def announce_all(first: int) -> None:
            for number in range(first, first + NODES):
                node = SimulatedNode(target, number)
                assert node.announce(NodeState.COMPLETE) == 200
                node.close()

        announce_all(0)
        seeder.wait_for_line("the history cannot be written")
        with booting(tmp_path, 1, *asking(seeder, fleet)) as node:
            assert node.end()[0] == 0
        announce_all(NODES)
        assert get(seeder, "/api/fleet")["nodes"]["total"] == 2 * NODES + 1
        wait_until("losses counted", lambda: get(seeder, "/api/fleet")["history_lost"] > 0)
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(seeder.process.pid, resource.RLIMIT_FSIZE, unlimited)
        announce_all(2 * NODES)
        seeder.wait_for_line("the history is being written again")
        wait_until("all that is current", lambda: len(read_history(state, most=999)) == 3 * NODES + 1)
        assert len([line for line in seeder.lines if "cannot be written" in line]) == 1
