"""While a real server sends stage 0, a real libtorrent session may send little; afterwards what it might before."""

from __future__ import annotations

import threading
import urllib.request
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from leecher.neighbour.giving_way import LEFT_TO_PIECES, give_way
from leecher.neighbour.http_server import NeighbourServer
from leecher.swarm.fetch_loop import FetchLoop
from leecher.swarm.session import Swarm
from tests.support.waiting import BOUND_S, wait_until

LINK_BYTES_PER_S = 80e6
LOAD_BYTES, LOAD_BYTES_PER_S = 16 << 20, 20e6


def limits_of(swarm: Swarm) -> set[int]:
    """Return what libtorrent lets the classes send that peers are in."""
    session: Any = swarm._session
    classes = (session.global_peer_class_id, session.local_peer_class_id)
    return {session.get_peer_class(name)["upload_limit"] for name in classes}


async def until(swarm: Swarm, limits: set[int]) -> None:
    await trio.to_thread.run_sync(wait_until, f"limits of {limits}", lambda: limits_of(swarm) == limits)


@pytest.mark.parametrize("allowed_bytes_per_s", [0.0, 40e6])
def test_pieces_give_way_while_a_machine_loads_and_not_after(tmp_path: Path, allowed_bytes_per_s: float) -> None:
    server = NeighbourServer("127.0.0.33", metrics=str)
    server.token_bucket.bytes_per_s = LOAD_BYTES_PER_S
    with (tmp_path / "kernel").open("wb") as file:
        file.truncate(LOAD_BYTES)
    server.files = {"aa": tmp_path / "kernel"}
    server.start()

    def load() -> None:
        url = f"http://127.0.0.33:{server.port}/k/aa?mac=52-54-00-00-00-01"
        with urllib.request.urlopen(url, timeout=BOUND_S) as answer:
            assert len(answer.read()) == LOAD_BYTES

    async def main(swarm: Swarm) -> None:
        heard = SimpleNamespace(uplink_bytes_per_s=LINK_BYTES_PER_S)
        fetcher = SimpleNamespace(announcer=SimpleNamespace(heard=heard), swarm=swarm)
        before = limits_of(swarm)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                give_way, server, cast("FetchLoop", SimpleNamespace(fetcher=fetcher)), allowed_bytes_per_s
            )
            await trio.lowlevel.checkpoint()
            thread = threading.Thread(target=load)
            thread.start()
            await until(swarm, {round(LEFT_TO_PIECES * LINK_BYTES_PER_S)})
            await until(swarm, before)
            assert not server.loads
            await trio.to_thread.run_sync(thread.join)
            nursery.cancel_scope.cancel()

    with closing(Swarm(bind="127.0.0.33", port=0, up_bytes_per_s=allowed_bytes_per_s)) as swarm:
        trio.run(main, swarm)
    server.close()
