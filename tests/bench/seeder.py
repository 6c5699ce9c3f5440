"""What the seeder's processor affords, beside the floor of its HTTP server and beside nginx, in one run.

    python -m tests.bench.seeder            announces, then blobs
    python -m tests.bench.seeder announces  2,000 nodes by default; --nodes, --interval, --requests, --seconds
    python -m tests.bench.seeder blobs      needs nginx and curl

The server under test has the first core to itself and what asks it the last; a figure a second a core is taken from the
server's processor time, so that other work on the machine costs little of it. Traffic stays on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seeder.http.authority import ServerCertificate, issue_certificate
from swarmboot.release import manifest, trust
from swarmboot.release.manifest import Artifact
from tests.bench.load import processor_s
from tests.support.loopback import Fleet, build_fleet, build_release
from tests.support.nginx import running_nginx

IMAGE_BYTES = 64 << 20
BLOB_READERS = 4
BLOB_TURNS = 8
LISTEN = ("--listen", "127.0.0.1:0")
_CORES = sorted(os.sched_getaffinity(0))


def pinned(core: int, *command: str | Path) -> list[str]:
    """Return a command that runs on the first (0) or the last (-1) core."""
    return ["taskset", "-c", str(_CORES[core]), *map(str, command)]


@contextmanager
def listening(*command: str | Path) -> Iterator[tuple[int, int]]:
    """Run a server on the first core; yield its process and the port it says it listens on."""
    process = subprocess.Popen(pinned(0, sys.executable, "-m", *command), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = next(line.partition("listening on ")[2] for line in process.stdout if "listening on " in line)
        yield process.pid, int(said.split()[0].rstrip(",").rpartition(":")[2])
    finally:
        process.terminate()
        process.communicate(timeout=20)


def ask(
    process: int, port: int, certificate: ServerCertificate, image: Artifact, **order: int | float
) -> dict[str, Any]:
    """Run one load against a server and return its figures."""
    order = {"requests": 0, "seconds": 0, "interval_s": 1.0, **order}
    shape = {"info_hash": image.info_hash.hex(), "pieces": -(-image.size_bytes // image.piece_bytes)}
    where = {"process": process, "host": "127.0.0.1", "port": port, "ca": str(certificate.authority)}
    command = pinned(-1, sys.executable, "-m", "tests.bench.load", json.dumps({**order, **shape, **where}))
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=180).stdout)
    assert found["refused"] == 0, f"{found['refused']} requests were refused"
    return found


def bench_announces(fleet: Fleet, certificate: ServerCertificate, arguments: argparse.Namespace) -> None:
    """Print announces a second a core, and the latency with each node announcing once an interval."""
    image = image_of(fleet.site)
    hello = ("tests.bench.hello", certificate.certificate, certificate.key)
    seeder = (
        "swarmboot",
        "serve",
        fleet.site,
        "--state",
        certificate.certificate.parent,
        *LISTEN,
        "--uplink",
        "1gbit",
        "--log-format=bare",
    )
    servers: dict[str, tuple[str | Path, ...]] = {"stock hello": (*hello, "stock"), "hello": hello, "seeder": seeder}
    for name, command in servers.items():
        with listening(*command) as (process, port):
            found = ask(process, port, certificate, image, nodes=64, requests=arguments.requests // 64)
        print(f"{name}: {found['answers'] / found['processor_s']:.0f} announces a processor second", flush=True)
    for name, command in servers.items():
        with listening(*command) as (process, port):
            order = {"seconds": arguments.seconds, "interval_s": arguments.interval}
            found = ask(process, port, certificate, image, nodes=arguments.nodes, **order)
        print(
            f"{name}: {arguments.nodes} nodes, each every {arguments.interval:g} s: "
            f"{found['answers'] / found['elapsed_s']:.0f} answers a second, "
            f"{found['processor_s'] / found['elapsed_s']:.2f} of a core, "
            f"p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms",
            flush=True,
        )


def image_of(site: Path) -> Artifact:
    """Return the site's image."""
    path = next((site / "manifests").iterdir())
    found = manifest.decode(trust.open_envelope(path.read_bytes(), trust.Kind.MANIFEST).payload)
    return max(found.artifacts, key=lambda artifact: artifact.size_bytes)


def read_blobs(url: str, ca: Path | None, processes: list[int]) -> float:
    """Return the processor time that several readers at once cost a server, and check that they got all."""
    before_s = sum(map(processor_s, processes))
    command = pinned(-1, "curl", "--silent", "--fail", "--cacert", str(ca), "--output", "/dev/null", url)
    readers = [subprocess.Popen(command) for _ in range(BLOB_READERS)]
    assert [reader.wait(timeout=60) for reader in readers] == [0] * BLOB_READERS
    return sum(map(processor_s, processes)) - before_s


def resident_bytes(process: int) -> int:
    """Return how much of a process is in memory (proc(5))."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def bench_blobs(fleet: Fleet, certificate: ServerCertificate, _arguments: argparse.Namespace) -> None:
    """Print megabytes a processor second of the seeder and of nginx, over TLS, in turn."""
    path = f"/blobs/{image_of(fleet.site).sha256.hex()}"
    fast = ("--uplink", "100gbit")
    seeder = (
        "swarmboot",
        "serve",
        fleet.site,
        "--state",
        certificate.certificate.parent,
        *LISTEN,
        *fast,
        "--log-format=bare",
    )
    tls = f"ssl_certificate {certificate.certificate}; ssl_certificate_key {certificate.key};"
    with (
        listening(*seeder) as (process, port),
        running_nginx(fleet.folder, fleet.site, tls=tls, log=False, launcher=pinned(0)) as (master, nginx_port),
    ):
        workers = [int(each) for each in Path(f"/proc/{master}/task/{master}/children").read_text().split()]
        servers = {
            "seeder": (f"https://127.0.0.1:{port}{path}", [process]),
            "nginx": (f"https://127.0.0.1:{nginx_port}{path}", workers),
        }
        resident_mb = []
        spent_s = dict.fromkeys(servers, 0.0)
        for turn in range(1 + BLOB_TURNS):
            for name, (url, processes) in servers.items():
                cost_s = read_blobs(url, certificate.authority, processes)
                spent_s[name] += cost_s if turn else 0.0  # the first turn fills the page cache
            resident_mb.append(resident_bytes(process) / 1e6)
    total_mb = BLOB_TURNS * BLOB_READERS * IMAGE_BYTES / 1e6
    said = [f"{name} {total_mb / spent_s[name]:.0f} MB a processor second" for name in servers]
    print(f"{', '.join(said)}: {spent_s['nginx'] / spent_s['seeder']:.2f} of nginx", flush=True)
    print(f"seeder: {', '.join(f'{each:.0f}' for each in resident_mb)} MB resident, turn by turn", flush=True)


def main() -> None:
    """Publish a release and run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.seeder", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["announces", "blobs"])
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=10000)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--interval", type=float, default=1.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        release = build_release(Path(folder) / "release", size_bytes=IMAGE_BYTES)
        fleet = build_fleet(Path(folder), release)
        certificate = issue_certificate(Path(folder) / "state", ["127.0.0.1"])
        for what, bench in (("announces", bench_announces), ("blobs", bench_blobs)):
            if arguments.what in (None, what):
                bench(fleet, certificate, arguments)


if __name__ == "__main__":
    main()
