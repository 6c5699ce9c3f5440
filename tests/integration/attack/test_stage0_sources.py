"""Who is asked to serve stage 0 to machines that wait, and never does: against a real seeder."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seeder.policy.recruiting import PENDING_S
from swarmboot.ids import NodeId
from tests.support.liars import lying_host
from tests.support.liars.lying_host import Liar
from tests.support.loopback import Seeder, build_fleet, build_release, serving
from tests.support.waiting import BOUND_S, wait_until

MACHINES = 6


@contextmanager
def waiting_machines(seeder: Seeder) -> Iterator[None]:
    """Have machines of an address each ask for their turn again and again; they load nothing."""
    seeder.wait_for_line("stage 0 trust")
    stage0, over = ("127.0.0.1", int(seeder.stage0_url().rpartition(":")[2])), threading.Event()

    def ask(number: int) -> None:
        while not over.wait(0.1):
            with socket.create_connection(stage0, timeout=BOUND_S, source_address=(f"127.0.1.{number}", 0)) as machine:
                machine.sendall(f"GET /boot.ipxe?mac=52:54:00:00:00:0{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                machine.recv(1 << 16)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, MACHINES + 1)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def is_asked(node: Liar, name: bytes) -> bool:
    """Return whether a node that fetches, under that name, is asked to serve stage 0."""
    status, handout = node.announce(lying_host.announce(node=NodeId(name.ljust(16))))
    assert status == 200
    assert handout is not None
    return handout.is_stage0_wanted


def test_one_that_is_asked_and_never_serves_holds_the_servers_place_once_whatever_it_calls_itself(
    tmp_path: Path,
) -> None:
    fleet = build_fleet(tmp_path, build_release(tmp_path / "release", size_bytes=300_000, stage0_bytes=200_000))
    lan = ("--pxe-listen", "127.0.0.1:0", "--stage0-trust", "lan", "--stage0-slots", "1")
    with (
        serving(fleet, *lan) as seeder,
        waiting_machines(seeder),
        Liar(seeder) as mallory,
        Liar(seeder, host="127.0.0.3") as honest,
    ):
        wait_until("a machine to wait", lambda: is_asked(mallory, b"mallory"))
        names = (b"mallory %d" % number for number in range(1000))
        wait_until(
            "the server's place to be free again",
            lambda: not is_asked(mallory, next(names)) and is_asked(honest, b"honest"),
            within_s=4 * PENDING_S,
        )
        assert not any(is_asked(mallory, next(names)) for _ in range(20))
