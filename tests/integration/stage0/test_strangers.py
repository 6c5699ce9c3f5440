"""Who asks for stage 0 in another machine's name: real seeder, plain HTTP, several addresses of this machine."""

from __future__ import annotations

import re
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.loopback import Fleet, Seeder, build_fleet, build_release, serving
from tests.support.waiting import BOUND_S, wait_until

FIRST, VICTIM, FORGER = "127.0.0.2", "127.0.0.3", "127.0.0.66"
MAC = "52:54:00:00:00:01"


def get(stage0: tuple[str, int], path: str, *, source: str, within_s: float = BOUND_S) -> bytes:
    """Return a body that is fetched from an address of one's choice."""
    with socket.create_connection(stage0, timeout=within_s, source_address=(source, 0)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {stage0[0]}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := connection.recv(1 << 16):
            answer += data
    return answer.partition(b"\r\n\r\n")[2]


def images_in(script: str) -> list[str]:
    """Return the paths of the images that a boot script names."""
    return list(dict.fromkeys(re.findall(r"http://[^/]+(/k/[0-9a-f]{64}\?mac=[0-9a-f-]+)", script)))


def stage0_address(seeder: Seeder) -> tuple[str, int]:
    seeder.wait_for_line("stage 0 trust")
    return "127.0.0.1", int(seeder.stage0_url().rpartition(":")[2])


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    release = build_release(tmp_path / "release", size_bytes=300_000, stage0_bytes=200_000)
    return build_fleet(tmp_path / "fleet", release)


def test_a_client_that_wants_its_connection_closed_sees_its_end(fleet: Fleet) -> None:
    with serving(fleet, "--pxe-listen", "127.0.0.1:0") as seeder:
        stage0 = stage0_address(seeder)
        script = get(stage0, f"/boot.ipxe?mac={MAC}", source=FIRST).decode()
        for path in images_in(script) * 10:
            assert len(get(stage0, path, source=FIRST, within_s=10.0)) == 200_000


def test_no_cache_on_the_way_may_give_one_machines_script_to_another(fleet: Fleet) -> None:
    with serving(fleet, "--pxe-listen", "127.0.0.1:0") as seeder:
        host, port = stage0_address(seeder)
        for script in ("boot.ipxe", "grub.cfg"):
            for query in ("", f"?mac={MAC}"):
                with urllib.request.urlopen(f"http://{host}:{port}/{script}{query}", timeout=BOUND_S) as answer:
                    assert answer.headers["cache-control"] == "no-store"


def test_a_machine_has_its_turn_although_another_asks_in_its_name(fleet: Fleet) -> None:
    had_a_turn: list[str] = []
    with serving(fleet, "--pxe-listen", "127.0.0.1:0", "--stage0-slots", "1") as seeder:
        stage0 = stage0_address(seeder)

        def ask(source: str) -> None:
            while not had_a_turn:
                if images_in(get(stage0, "/boot.ipxe?mac=52:54:00:00:00:02", source=source).decode()):
                    had_a_turn.append(source)

        images = images_in(get(stage0, f"/boot.ipxe?mac={MAC}", source=FIRST).decode())
        asking = [threading.Thread(target=ask, args=(source,)) for source in (VICTIM, FORGER)]
        for thread in asking:  # the victim first
            thread.start()
            time.sleep(0.3)
        for source in (FORGER, FIRST):
            assert not had_a_turn, "somebody else has ended the first machine's turn"
            for path in images:
                get(stage0, path, source=source)
        wait_until("a turn for somebody else", lambda: bool(had_a_turn))
        assert had_a_turn[0] == VICTIM
        for thread in asking:
            thread.join(BOUND_S)
