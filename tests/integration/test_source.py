"""Where a boot's release comes from, and which neighbours it dials because of that."""

from __future__ import annotations

from contextlib import closing
from random import Random

import pytest
import trio

from leecher.connections import Connections, tls_context
from leecher.discovery import Discovery, Found
from leecher.origin import Origin
from leecher.release import Demands
from leecher.source import Acquired, Acquisition
from swarmboot.ids import Sequence, new_node_id
from swarmboot.keyfile import read_trust
from swarmboot.wire import Presence, Probe
from tests.integration.world import BOUND_S, Fleet, Seeder, build_fleet, build_release, serving


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("fleet")
    return build_fleet(folder, build_release(folder / "release"))


def acquired(fleet: Fleet, seeder: Seeder, *heard: Found) -> Acquired:
    """Return what a boot gets hold of that has heard of these neighbours before the seeder answers."""
    trusted = read_trust((fleet.pub,))

    async def acquire() -> Acquired:
        with trio.fail_after(BOUND_S), closing(Connections(tls_context(seeder.ca), bind="127.0.0.9")) as connections:
            acquisition = Acquisition(
                Origin(connections), Demands(trusted, "stable", Sequence(0)), server=seeder.address, bind="127.0.0.9",
                random=Random(1), tell=print,
            )  # fmt: skip
            for found in heard:
                acquisition.hear(found)
            silent = Discovery(
                Probe(new_node_id(), tuple(sorted(trusted.keys))), bind="127.0.0.9", neighbours=(), is_multicast=False,
                presence=lambda: None,
            )  # fmt: skip
            return await acquisition.acquire(silent)

    return trio.run(acquire)


def test_neighbours_heard_of_while_the_seeder_is_slow_are_not_all_dialled(fleet: Fleet) -> None:
    presence = Presence(new_node_id(), Sequence(1), port=6881, http_port=8080)
    with serving(fleet) as seeder:
        assert acquired(fleet, seeder, Found("127.0.0.10", presence)).neighbours == ()
