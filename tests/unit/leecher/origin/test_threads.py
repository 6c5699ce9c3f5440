"""Requests in threads beside trio's: what becomes of them when a boot has no more time."""

from __future__ import annotations

import ssl
import threading

import trio

from leecher.origin.connection_pool import Connections
from leecher.origin.small_request import SmallRequest
from leecher.origin.threads import in_thread
from swarmboot.errors import UnreachableError


class Stuck(SmallRequest):
    """A request whose thread cannot be torn loose, as in a name server's silence, until it is let go."""

    def __init__(self) -> None:
        super().__init__(Connections(ssl.create_default_context()), "https://nowhere.test", max_bytes=1)
        self.let_go = threading.Event()
        self.has_ended = threading.Event()

    def run(self) -> None:
        self.let_go.wait()
        self.has_ended.set()
        raise UnreachableError("nowhere.test cannot be reached")


def test_a_boot_whose_time_is_over_waits_for_no_name_server() -> None:
    request = Stuck()

    async def boot() -> None:
        with trio.move_on_after(0) as time_over:
            await in_thread(request)
        assert time_over.cancelled_caught
        assert not request.has_ended.is_set()

    trio.run(boot)
    request.let_go.set()
    assert request.has_ended.wait()
