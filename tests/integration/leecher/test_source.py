"""Where a boot's release comes from, and which neighbours it dials because of that."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import trio

from leecher.boot.release_search import Acquired, ReleaseSearch
from leecher.neighbour.discovery import Discovery, Found
from leecher.neighbour.http_server import NeighbourServer
from leecher.origin.client import Origin
from leecher.origin.connection_pool import Connections, tls_context
from leecher.release.trusted_release import ReleaseRequirements
from swarmboot.ids import Sequence, new_node_id
from swarmboot.release.key_files import read_trust
from swarmboot.settings import build_settings
from swarmboot.wire.announce import Neighbour
from swarmboot.wire.discovery import Presence, Probe
from tests.support.loopback import Fleet, serving
from tests.support.waiting import BOUND_S


def acquired(fleet: Fleet, server: str, authority: Path | None, *heard: Found) -> Acquired:
    """Return what a boot gets hold of that has heard of these neighbours before the seeder answers."""
    trusted = read_trust((fleet.pub,))

    async def acquire() -> Acquired:
        with trio.fail_after(BOUND_S), closing(Connections(tls_context(authority), bind="127.0.0.9")) as connections:
            release_search = ReleaseSearch(
                Origin(connections), ReleaseRequirements(trusted, "stable", Sequence(0)),
                settings=build_settings({"server": server, "bind": "127.0.0.9"}), random=Random(1), tell=print,
            )  # fmt: skip
            for found in heard:
                release_search.hear(found)
            silent = Discovery(
                Probe(new_node_id(), tuple(sorted(trusted.keys))), bind="127.0.0.9", neighbours=(), is_multicast=False,
                presence=lambda: None,
            )  # fmt: skip
            return await release_search.acquire(silent, lambda _: ())

    return trio.run(acquire)


def test_neighbours_heard_of_while_the_seeder_is_slow_are_not_all_dialled(fleet: Fleet) -> None:
    presence = Presence(new_node_id(), Sequence(1), port=6881, http_port=8080)
    with serving(fleet) as seeder:
        assert acquired(fleet, seeder.address, seeder.ca, Found("127.0.0.10", presence)).neighbours == ()


@contextmanager
def booted_neighbour(fleet: Fleet) -> Iterator[Found]:
    """Serve the site's documents as a booted neighbour does while the context is open."""
    server = NeighbourServer("127.0.0.10", metrics=str)
    files = [file for file in fleet.site.rglob("*.swarm") if file.is_file()]
    server.documents = {str(file.relative_to(fleet.site)): file.read_bytes() for file in files}
    server.start()
    try:
        yield Found("127.0.0.10", Presence(new_node_id(), Sequence(1), port=6881, http_port=server.port))
    finally:
        server.shutdown()
        server.server_close()


def test_a_release_from_a_neighbour_leaves_it_to_a_slow_seeder_to_name_neighbours(fleet: Fleet) -> None:
    with booted_neighbour(fleet) as found, socket.create_server(("127.0.0.11", 0)) as slow:
        release = acquired(fleet, f"http://127.0.0.11:{slow.getsockname()[1]}", None, found)
    assert (release.release.manifest.sequence, release.neighbours) == (1, ())


def test_a_release_from_a_neighbour_comes_with_neighbours_where_there_is_no_seeder(fleet: Fleet) -> None:
    with booted_neighbour(fleet) as found, socket.create_server(("127.0.0.11", 0)) as gone:
        port = gone.getsockname()[1]
        gone.close()
        release = acquired(fleet, f"http://127.0.0.11:{port}", None, found)
    assert release.neighbours == (Neighbour("127.0.0.10", 6881, found.presence.http_port),)
