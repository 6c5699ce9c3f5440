"""A host with dozens of downloads beside one with two, against the real seeder: the uplink is shared by host."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from tests.support.loopback import Seeder, build_fleet, build_release, serving

HOSTILE, HONEST = "127.0.0.66", "127.0.0.7"
DOWNLOADS = 60
ENOUGH_BYTES = 4_000_000


def test_a_rack_beside_a_host_with_hundreds_of_downloads_keeps_its_share(tmp_path: Path) -> None:
    release = build_release(tmp_path / "release", size_bytes=24_000_000, plugins=0)
    fleet = build_fleet(tmp_path / "fleet", release)
    blob = max((fleet.site / "blobs").iterdir(), key=lambda path: path.stat().st_size).name
    with serving(fleet, "--uplink", "40mbit") as seeder:
        got = download(seeder, dict.fromkeys((HOSTILE, HONEST), f"/blobs/{blob}"), {HOSTILE: DOWNLOADS, HONEST: 2})
    share = got[HONEST] / got.total()
    print(f"2 downloads beside {DOWNLOADS} of another host have {share:.0%} of the uplink")
    assert share > 0.25, f"{share:.0%} of the uplink"


def test_the_uplink_is_shared_with_downloads_of_stage_0_as_well(tmp_path: Path) -> None:
    release = build_release(tmp_path / "release", size_bytes=24_000_000, plugins=0)
    for name in ("vmlinuz", "initramfs.img"):
        (release / name).write_bytes(Random(name).randbytes(24_000_000))
    fleet = build_fleet(tmp_path / "fleet", release)
    blob = max((fleet.site / "blobs").iterdir(), key=lambda path: path.stat().st_size).name
    with serving(fleet, "--uplink", "40mbit", "--pxe-listen", "127.0.0.1:0") as seeder:
        stage0 = stage0_address(seeder)
        kernel = re.search(r"/k/[0-9a-f]{64}", ask(stage0, "/boot.ipxe?mac=52:54:00:00:00:01"))
        assert kernel is not None
        paths = {HOSTILE: kernel[0], HONEST: f"/blobs/{blob}"}
        got = download(seeder, paths, {HOSTILE: DOWNLOADS, HONEST: 2}, plain={HOSTILE: stage0})
    share = got[HONEST] / got.total()
    print(f"2 downloads beside {DOWNLOADS} of another host's kernels have {share:.0%} of the uplink")
    assert share > 0.25, f"{share:.0%} of the uplink"


def stage0_address(seeder: Seeder) -> tuple[str, int]:
    """Return where stage 0 is served over plain HTTP."""
    end_s = time.monotonic() + 20
    while not any(line.startswith("stage 0 trust") for line in seeder.lines):
        assert time.monotonic() < end_s
        time.sleep(0.02)
    (line,) = [line for line in seeder.lines if line.startswith("stage 0 on")]
    return "127.0.0.1", int(line.rpartition(":")[2])


def ask(address: tuple[str, int], path: str) -> str:
    """Return a small answer over plain HTTP."""
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}{path}", timeout=20) as answer:
        return str(answer.read().decode())


def download(
    seeder: Seeder,
    paths: Mapping[str, str],
    downloads: Mapping[str, int],
    *,
    plain: Mapping[str, tuple[str, int]] | None = None,
) -> Counter[str]:
    """Download a file so often from each host at once; return what each has when the honest one has enough.

    What a host gets counts once all of its downloads have begun. `plain` are the hosts that ask over plain HTTP, and
    where.
    """
    got: Counter[str] = Counter()
    begun = threading.Barrier(sum(downloads.values()) + 1)
    is_over = threading.Event()
    context = ssl.create_default_context(cafile=str(seeder.ca))
    address = urlsplit(seeder.address)

    def fetch(host: str) -> None:
        plain_end = (plain or {}).get(host)
        end = plain_end or (str(address.hostname), int(address.port or 0))
        with suppress(OSError), ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection(end, timeout=60, source_address=(host, 0)))
            if plain_end is None:
                connection = stack.enter_context(context.wrap_socket(connection, server_hostname=end[0]))
            begun.wait(60)
            while not is_over.is_set():
                connection.sendall(f"GET {paths[host]} HTTP/1.1\r\nHost: {end[0]}\r\n\r\n".encode())
                read_one(connection, host, got, is_over)

    threads = [threading.Thread(target=fetch, args=(host,), daemon=True) for host in Counter(downloads).elements()]
    for thread in threads:
        thread.start()
    begun.wait(60)
    for thread in threads:
        thread.join(90)
    assert is_over.is_set()
    return got


def read_one(connection: socket.socket, host: str, got: Counter[str], is_over: threading.Event) -> None:
    """Read a file's bytes and count them, until the honest host has enough."""
    left = 24_000_000
    while left > 0 and not is_over.is_set():
        data = connection.recv(1 << 16)
        left -= len(data)
        got[host] += len(data)
        if host == HONEST and got[host] >= ENOUGH_BYTES:
            is_over.set()
