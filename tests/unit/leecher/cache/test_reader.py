"""A piece leaves a cache only if it is the one that was signed, and a few at a time."""

from __future__ import annotations

import hashlib
import os
import queue
from pathlib import Path

import pytest

from leecher.cache.folder import CacheFolder
from leecher.cache.plan import CopyPlan
from leecher.cache.reader import AHEAD_BYTES, CacheReader, ReadAt
from leecher.policy.events import Fact, PieceCopied
from seeder.site.torrent import PieceHasher
from swarmboot.ids import Digest, PieceIndex
from swarmboot.release.chunks import Copy
from tests.support.builders import build_artifact, build_bytes

PIECE_BYTES = 1 << 20
SIZE_BYTES = 12 * PIECE_BYTES + 5000
DATA = build_bytes(SIZE_BYTES)
ARTIFACT = build_artifact(size_bytes=SIZE_BYTES, piece_bytes=PIECE_BYTES, sha256=Digest(hashlib.sha256(DATA).digest()))
H = ARTIFACT.info_hash


def layer() -> tuple[bytes, ...]:
    hasher = PieceHasher(PIECE_BYTES)
    hasher.update(DATA)
    return hasher.finish().layer


class Reading:
    """A reader of one image, cut into two parts that lie the other way round in the cache."""

    def __init__(self, folder: Path, stored: bytes, *, read: ReadAt = os.pread) -> None:
        (folder / "images").mkdir()
        (folder / "images" / ARTIFACT.sha256.hex()).write_bytes(stored[7_000_000:] + stored[:7_000_000])
        tail = SIZE_BYTES - 7_000_000
        parts = (Copy(0, 7_000_000, ARTIFACT.sha256, tail), Copy(7_000_000, tail, ARTIFACT.sha256, 0))
        plan = CopyPlan(CacheFolder(folder), {H: parts}, {H: (1 << ARTIFACT.pieces) - 1})
        order = [(H, PieceIndex(index)) for index in range(ARTIFACT.pieces)]
        self.facts: queue.Queue[Fact] = queue.Queue()
        self.reader = CacheReader(plan, {H: ARTIFACT}, lambda _: layer(), order, post=self.facts.put, read=read)
        self.reader.begin()

    def next(self) -> PieceCopied:
        fact = self.facts.get(timeout=20)
        assert isinstance(fact, PieceCopied)
        return fact

    def rest(self, count: int) -> list[PieceCopied]:
        """Return so many facts, with room made for each."""
        found = []
        for _ in range(count):
            found.append(fact := self.next())
            if fact.data is not None:
                self.reader.done(len(fact.data))
        return found


def test_pieces_are_put_together_out_of_parts(tmp_path: Path) -> None:
    facts = Reading(tmp_path, DATA).rest(ARTIFACT.pieces)
    assert [fact.index for fact in facts] == list(range(ARTIFACT.pieces))
    assert b"".join(fact.data or b"" for fact in facts) == DATA


def test_no_more_is_on_its_way_than_there_is_room_for(tmp_path: Path) -> None:
    reading = Reading(tmp_path, DATA)
    facts = [reading.next() for _ in range(AHEAD_BYTES // PIECE_BYTES)]
    with pytest.raises(queue.Empty):
        reading.facts.get(timeout=0.2)
    reading.reader.done(PIECE_BYTES)
    assert reading.next().index == len(facts)
    reading.reader.close()


def test_a_piece_that_is_not_the_one_that_was_signed_is_not_posted(tmp_path: Path) -> None:
    stored = bytearray(DATA)
    stored[3 * PIECE_BYTES + 17] ^= 1
    facts = Reading(tmp_path, bytes(stored)).rest(ARTIFACT.pieces)
    assert [fact.index for fact in facts if fact.data is None] == [3]
    assert not any(fact.is_last for fact in facts)


def test_a_cache_that_is_shorter_than_it_says_or_cannot_be_read_gives_what_it_can(tmp_path: Path) -> None:
    def failing(descriptor: int, size_bytes: int, at_byte: int) -> bytes:
        if at_byte >= 6_000_000:
            raise OSError(5, "Input/output error")
        return os.pread(descriptor, size_bytes, at_byte)

    facts = Reading(tmp_path, DATA, read=failing).rest(ARTIFACT.pieces)
    assert {fact.data is None for fact in facts} == {True, False}
    assert all(fact.data is None or hashlib.sha256(fact.data) for fact in facts)


def test_a_piece_that_has_come_from_elsewhere_is_not_read(tmp_path: Path) -> None:
    reading = Reading(tmp_path, DATA)
    for index in range(9, 12):
        reading.reader.skip(H, index)
    facts = reading.rest(ARTIFACT.pieces)
    assert [fact.index for fact in facts if fact.data is None] == [9, 10, 11]
