"""What a node that still fetches its images does where it is sent other bytes of stage 0 than the signed ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from leecher.neighbour.early_stage0 import EarlyStage0
from leecher.neighbour.http_server import NeighbourServer
from leecher.origin.connection_pool import Connections, tls_context
from leecher.swarm.counters import BootCounters
from leecher.swarm.fetch_loop import FetchLoop
from swarmboot.errors import ArtifactError
from swarmboot.ids import Digest, InfoHash, new_node_id
from swarmboot.release import layout
from swarmboot.release.manifest import Artifact, Manifest, Role
from swarmboot.settings import build_settings
from swarmboot.wire.announce import Neighbour

RIGHT, WRONG = b"right" * 1000, b"wrong" * 1000
KERNEL = Artifact(
    "vmlinuz", Role.KERNEL, "kernel", len(RIGHT), Digest(hashlib.sha256(RIGHT).digest()), InfoHash(bytes(32)), 1 << 16
)


class Counting(NeighbourServer):
    """Counts the connections that it takes."""

    taken = 0

    def verify_request(self, request: Any, client_address: Any) -> bool:
        self.taken += 1
        return super().verify_request(request, client_address)


@contextmanager
def serving(*, documents: Mapping[str, bytes] | None = None, stage0: Path | None = None) -> Iterator[Counting]:
    server = Counting("127.0.0.1", metrics=str)
    server.documents = documents or {}
    server.files = {KERNEL.sha256.hex(): stage0} if stage0 else {}
    server.start()
    try:
        yield server
    finally:
        server.close()


@contextmanager
def early(tmp_path: Path, origin: NeighbourServer, *named: NeighbourServer) -> Iterator[EarlyStage0]:
    neighbours = tuple(Neighbour("127.0.0.1", 1, each.port) for each in named)
    heard = SimpleNamespace(stage0_from=neighbours)
    loop = cast("FetchLoop", SimpleNamespace(fetcher=SimpleNamespace(announcer=SimpleNamespace(heard=heard))))
    settings = build_settings({"server": f"http://127.0.0.1:{origin.port}", "into": str(tmp_path)})
    manifest = cast("Manifest", SimpleNamespace(with_role=lambda role: (KERNEL,) if role is Role.KERNEL else ()))
    with closing(Connections(tls_context(None))) as connections:
        counters = BootCounters(new_node_id(), started_s=0.0)
        yield EarlyStage0(manifest, connections, loop, origin, settings, counters, tell=print)


def bring(early_stage0: EarlyStage0) -> None:
    async def main() -> None:
        with trio.fail_after(10.0):
            await early_stage0._bring(KERNEL)

    trio.run(main)


def test_what_a_neighbour_has_other_than_signed_is_fetched_from_the_server(tmp_path: Path) -> None:
    (tmp_path / "wrong").write_bytes(WRONG)
    with (
        serving(documents={layout.blob_path(KERNEL.sha256): RIGHT}) as origin,
        serving(stage0=tmp_path / "wrong") as neighbour,
        early(tmp_path, origin, neighbour) as early_stage0,
    ):
        bring(early_stage0)
    assert (tmp_path / KERNEL.sha256.hex()).read_bytes() == RIGHT
    assert neighbour.taken == 1


def test_a_server_that_has_other_than_signed_is_asked_once(tmp_path: Path) -> None:
    with (
        serving(documents={layout.blob_path(KERNEL.sha256): WRONG}) as origin,
        early(tmp_path, origin) as early_stage0,
        pytest.raises(ArtifactError, match="is not what was signed"),
    ):
        bring(early_stage0)
    assert not (tmp_path / KERNEL.sha256.hex()).exists()
    assert origin.taken == 1


def test_a_place_that_is_full_ends_it_and_is_no_fault_of_the_server(tmp_path: Path) -> None:
    with (
        serving(documents={layout.blob_path(KERNEL.sha256): RIGHT}) as origin,
        early(tmp_path, origin) as early_stage0,
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(OSError, match="No space left"),
    ):
        trio.run(early_stage0._fill, KERNEL, full)
