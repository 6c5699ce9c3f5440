"""A host with dozens of downloads beside one with two, against the real seeder: the uplink is shared by host."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
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
        got = download(seeder, f"/blobs/{blob}", {HOSTILE: DOWNLOADS, HONEST: 2})
    share = got[HONEST] / got.total()
    print(f"2 downloads beside {DOWNLOADS} of another host have {share:.0%} of the uplink")
    assert share > 0.25, f"{share:.0%} of the uplink"


def download(seeder: Seeder, path: str, downloads: dict[str, int]) -> Counter[str]:
    """Download a file so often from each host at once; return what each has when the honest one has enough.

    What a host gets counts once all of its downloads have begun.
    """
    got: Counter[str] = Counter()
    begun = threading.Barrier(sum(downloads.values()) + 1)
    is_over = threading.Event()
    context = ssl.create_default_context(cafile=str(seeder.ca))
    address = urlsplit(seeder.address)

    def fetch(host: str) -> None:
        end = (str(address.hostname), int(address.port or 0))
        with (
            suppress(OSError),
            socket.create_connection(end, timeout=60, source_address=(host, 0)) as plain,
            context.wrap_socket(plain, server_hostname=end[0]) as connection,
        ):
            begun.wait(60)
            while not is_over.is_set():
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {end[0]}\r\n\r\n".encode())
                left = 24_000_000
                while left > 0 and not is_over.is_set():
                    data = connection.recv(1 << 16)
                    left -= len(data)
                    got[host] += len(data)
                    if host == HONEST and got[host] >= ENOUGH_BYTES:
                        is_over.set()

    threads = [
        threading.Thread(target=fetch, args=(host,), daemon=True)
        for host, count in downloads.items()
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    begun.wait(60)
    for thread in threads:
        thread.join(90)
    assert is_over.is_set()
    return got
