"""A whole image's checksum, taken while the image arrives."""

from __future__ import annotations

import hashlib
from pathlib import Path

import trio
import trio.testing

from leecher.swarm.checksum import RunningChecksum
from swarmboot.ids import Digest
from swarmboot.release import piece_set
from tests.support.builders import build_artifact

PIECE = 1 << 16
CONTENT = bytes(range(256)) * 1024


def build_checksum(path: Path) -> RunningChecksum:
    sha256 = Digest(hashlib.sha256(CONTENT).digest())
    return RunningChecksum(build_artifact(size_bytes=len(CONTENT), piece_bytes=PIECE, sha256=sha256), path)


async def follow_until_read(checksum: RunningChecksum, have: int) -> None:
    """Let the checksum read behind these pieces once."""
    flushed = trio.Event()

    async def flush() -> None:
        flushed.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(checksum.follow, lambda: have, flush)
        await flushed.wait()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_what_was_read_while_it_arrived_counts(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(CONTENT[: 2 * PIECE])
    checksum = build_checksum(path)
    await follow_until_read(checksum, piece_set.span(0, 2))
    with path.open("ab") as file:
        file.write(CONTENT[2 * PIECE :])
    assert await checksum.finish() == hashlib.sha256(CONTENT).digest()


async def test_a_gap_is_not_read_over(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(CONTENT[:PIECE] + bytes(len(CONTENT) - PIECE))
    checksum = build_checksum(path)
    await follow_until_read(checksum, piece_set.of([0, 2, 3]))
    path.write_bytes(CONTENT)
    assert await checksum.finish() == hashlib.sha256(CONTENT).digest()


async def test_bytes_read_before_they_were_written_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(len(CONTENT)))
    checksum = build_checksum(path)
    await follow_until_read(checksum, piece_set.span(0, 2))
    path.write_bytes(CONTENT)
    assert await checksum.finish() == hashlib.sha256(CONTENT).digest()


async def test_other_bytes_are_found_out(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(CONTENT[:-1] + b"?")
    assert await build_checksum(path).finish() != hashlib.sha256(CONTENT).digest()
