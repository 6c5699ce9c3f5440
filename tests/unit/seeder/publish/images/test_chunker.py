"""Chunks end where the bytes say so, for ever at the same ones, and a change moves only those that it touches."""

from __future__ import annotations

import hashlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seeder.publish.images.chunker import Chunker
from seeder.site.chunk_hasher import ChunkChecker, beside
from swarmboot.release.chunks import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, ChunkList, copies, decode_chunks, encode_chunks

IMAGE = Random(20).randbytes(3_000_000)
"""Mersenne Twister of a known seed: the same bytes on every machine and Python."""
FIRST_LENGTHS = (40494, 55400, 176728, 110180)
LIST_SHA256 = "2c12d47dcabfc27ef48af7d754d86610efa537e48771478fb73e676e2ca9c204"


def cut(data: bytes, *, parts: int = 1 << 20) -> ChunkList:
    chunker = Chunker()
    for start in range(0, len(data), parts):
        chunker.update(data[start : start + parts])
    return chunker.finish()


def cut_by_the_book(data: bytes) -> tuple[int, ...]:
    """Return the lengths as the rule is written, a place at a time."""
    lengths, start = [], 0
    for end in range(1, len(data) + 1):
        size = end - start
        number = int.from_bytes(data[max(0, end - 4) : end], "little") * 2654435761 % (1 << 32)
        is_said = end >= 4 and number > (1 << 32) - 87382 and size >= MIN_CHUNK_BYTES
        if is_said or size == MAX_CHUNK_BYTES or end == len(data):
            lengths.append(size)
            start = end
    return tuple(lengths)


def test_an_image_is_cut_at_these_bytes_for_ever() -> None:
    encoded = encode_chunks(cut(IMAGE))
    assert cut(IMAGE).lengths[:4] == FIRST_LENGTHS
    assert hashlib.sha256(encoded).hexdigest() == LIST_SHA256


def test_the_fast_way_cuts_where_the_rule_says() -> None:
    assert cut(IMAGE[:500_000]).lengths == cut_by_the_book(IMAGE[:500_000])


@pytest.mark.parametrize("parts", [1, 3, 4, 5, 16_383, 1 << 18, (1 << 18) + 1, 700_001])
def test_it_does_not_matter_in_which_parts_the_bytes_come(parts: int) -> None:
    data = IMAGE[:40_000] if parts < 6 else IMAGE
    assert cut(data, parts=parts) == cut(data)


def test_a_list_is_one_that_readers_take_and_has_the_digests_of_its_chunks() -> None:
    chunks = cut(IMAGE)
    assert decode_chunks(encode_chunks(chunks), size_bytes=len(IMAGE)) == chunks
    for chunk in chunks:
        data = IMAGE[chunk.first_byte : chunk.first_byte + chunk.size_bytes]
        assert hashlib.sha256(data).digest() == chunk.sha256


@pytest.mark.parametrize("byte", [0, 255, 0x20])
def test_bytes_that_are_all_the_same_end_chunks_at_the_most_only(byte: int) -> None:
    assert cut(bytes([byte]) * 1_000_000).lengths == (MAX_CHUNK_BYTES,) * 3 + (1_000_000 - 3 * MAX_CHUNK_BYTES,)


def test_chunks_are_64_kib_on_average() -> None:
    lengths = cut(Random(1).randbytes(12_000_000)).lengths
    assert 55_000 < sum(lengths) / len(lengths) < 75_000


@given(st.integers(0, len(IMAGE)), st.binary(max_size=300), st.integers(0, 300))
@settings(max_examples=20, deadline=None)
def test_a_change_in_the_middle_moves_only_chunks_near_it(at: int, put_in: bytes, taken_out: int) -> None:
    """An old image gives all but what is around the change: up to the longest chunk before it, and two behind."""
    new = IMAGE[:at] + put_in + IMAGE[at + taken_out :]
    found = copies(cut(new), {"old": cut(IMAGE)})
    assert len(new) - sum(copy.size_bytes for copy in found) <= 3 * MAX_CHUNK_BYTES
    for copy in found:
        there = IMAGE[copy.source_first_byte : copy.source_first_byte + copy.size_bytes]
        assert new[copy.first_byte : copy.first_byte + copy.size_bytes] == there


def test_a_list_is_checked_against_its_image_by_the_lengths_that_it_names() -> None:
    chunks, other = cut(IMAGE), IMAGE[:-1] + b"x"
    for data, is_right in ((IMAGE, True), (other, False), (IMAGE[:-1], False)):
        checker = ChunkChecker(chunks.lengths)
        with beside(checker.update) as take:
            for start in range(0, len(data), 300_000):
                take(data[start : start + 300_000])
        assert (checker.finish() == chunks) is is_right


def test_what_goes_wrong_beside_is_heard_of() -> None:
    def refuse(_part: bytes) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), beside(refuse) as take:
        take(b"x")
