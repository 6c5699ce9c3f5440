"""How much a node lets its neighbours ask ahead of it, and from whom it knows how fast links are."""

from __future__ import annotations

import ssl
import time
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from leecher.boot.head_start import HeadStart
from leecher.boot.options import BootOptions
from leecher.origin.connection_pool import Connections
from leecher.swarm.counters import BootCounters
from leecher.swarm.fetcher import Fetcher
from leecher.swarm.session import Swarm
from swarmboot.ids import new_node_id
from swarmboot.settings import build_settings
from swarmboot.wire.announce import Handout
from tests.support.loopback import Fleet, serving

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libtorrent 2.1 on calls that 2.0 needs

MBIT_PER_S = 125_000.0


def ahead_of(swarm: Swarm) -> int:
    """Return how many blocks this node lets a neighbour ask ahead that connects now: libtorrent's word, not Swarm's."""
    return int(swarm._session.get_settings()["max_allowed_in_request_queue"])


def test_a_node_goes_by_the_uplink_that_its_seeder_names(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        given = {"server": seeder.address, "trust": str(fleet.pub), "ca": str(seeder.ca), "into": str(tmp_path)}
        settings = build_settings({**given, "bind": "127.0.0.11", "reserve": "0"})
        head_start = HeadStart(BootOptions(settings, time.monotonic())).begin()
        release = head_start.release()
        head_start.abandon()
    assert release is not None
    artifacts = release.manifest.artifacts[:1]
    blocks = artifacts[0].piece_bytes >> 14
    with closing(Connections(ssl.create_default_context())) as connections:
        fetcher = Fetcher(
            connections, settings, BootCounters(new_node_id(), time.monotonic()), artifacts,
            sequence=release.manifest.sequence, random=Random(1), tell=print,
        )  # fmt: skip
        swarm = Swarm(bind="127.0.0.11", port=0, up_bytes_per_s=0.0)
        fetcher.join(swarm, release.documents)
        with closing(fetcher):
            assert ahead_of(swarm) == blocks
            # as an announce's answer is taken, from seeders with uplinks that no loopback has
            fetcher._answered(Handout(1.0, uplink_bytes_per_s=10 * MBIT_PER_S), has_joined=True)
            assert ahead_of(swarm) == blocks // 2
            swarm.seed()
            seeds_blocks = ahead_of(swarm)
            fetcher._answered(Handout(1.0, uplink_bytes_per_s=20 * MBIT_PER_S), has_joined=True)
            assert ahead_of(swarm) == seeds_blocks > blocks // 2
            fetcher._answered(Handout(1.0, uplink_bytes_per_s=1000 * MBIT_PER_S), has_joined=True)
            assert ahead_of(swarm) > seeds_blocks
