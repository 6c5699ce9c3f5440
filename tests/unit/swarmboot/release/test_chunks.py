"""A list of chunks means one image, what cannot be obeyed is refused, and it says what an older image has."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.codec import pack, unpack
from swarmboot.errors import ManifestError
from swarmboot.release.chunks import (
    CHUNK_LIST_MAX_BYTES,
    MAX_CHUNK_BYTES,
    MAX_CHUNKS,
    MIN_CHUNK_BYTES,
    Chunk,
    ChunkList,
    Copy,
    copies,
    decode_chunks,
    encode_chunks,
    gaps,
)

SIZES = {"a": MIN_CHUNK_BYTES, "b": MIN_CHUNK_BYTES + 1, "c": 50_000, "d": MAX_CHUNK_BYTES, "e": 20_000, "z": 7}


def chunk_list(letters: str) -> ChunkList:
    """Return the list of an image whose chunks these letters stand for; z is short, and can only be the last."""
    digests = b"".join(hashlib.sha256(letter.encode()).digest() for letter in letters)
    return ChunkList(tuple(SIZES[letter] for letter in letters), digests)


images = st.builds(lambda body, tail: chunk_list(body + tail), st.text("abcde", max_size=12), st.sampled_from("az"))


@given(images)
def test_a_list_that_was_written_comes_back(chunks: ChunkList) -> None:
    encoded = encode_chunks(chunks)
    assert decode_chunks(encoded, size_bytes=chunks.size_bytes) == chunks
    assert sum(chunk.size_bytes for chunk in chunks) == chunks.size_bytes


def test_its_bytes_are_these_for_ever() -> None:
    encoded = encode_chunks(chunk_list("az"))
    assert encoded.hex().startswith("83a6666f726d617401a76c656e677468" + "73c4080040000007000000a6736861323536c440")
    assert encoded.endswith(hashlib.sha256(b"a").digest() + hashlib.sha256(b"z").digest())


def altered(**changes: Any) -> bytes:
    value = unpack(encode_chunks(chunk_list("abz")), max_bytes=CHUNK_LIST_MAX_BYTES)
    return pack({**value, **changes})


def lengths(*each: int) -> dict[str, bytes]:
    return {"lengths": struct.pack(f"<{len(each)}I", *each), "sha256": bytes(32 * len(each))}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        pytest.param(b"", "not msgpack", id="nothing"),
        pytest.param(b"\x90", "is not a map", id="no map"),
        pytest.param(altered(format=2), "format 2, this version knows 1", id="a later format"),
        pytest.param(altered(crit=["salt"], salt=b"x"), "needs salt", id="a critical field"),
        pytest.param(altered(lengths=b"abc"), "no multiple of 4", id="half a length"),
        pytest.param(altered(sha256=bytes(95)), "sha256 is not 96 bytes", id="a digest too short"),
        pytest.param(altered(sha256=bytes(64)), "sha256 is not 96 bytes", id="a digest too few"),
        pytest.param(altered(**lengths()), "chunks of 0 bytes together", id="no chunks"),
        pytest.param(altered(**lengths(MIN_CHUNK_BYTES, 0)), "no bytes", id="an empty last one"),
        pytest.param(altered(**lengths(0, MIN_CHUNK_BYTES)), "no bytes", id="an empty first one"),
        pytest.param(altered(**lengths(*[1] * 1000)), "less than 16384", id="tiny ones"),
        pytest.param(altered(**lengths(MAX_CHUNK_BYTES + 1)), "more than 262144", id="a large one"),
        pytest.param(altered(**lengths(2**32 - 1, 5)), "more than 262144", id="a huge one"),
        pytest.param(altered(**lengths(MIN_CHUNK_BYTES, 6)), "the image has 32776", id="another image's"),
        pytest.param(altered(lengths=bytes(4 * MAX_CHUNKS + 4)), "at most 4194304 bytes", id="too many"),
        pytest.param(bytes(CHUNK_LIST_MAX_BYTES + 1), "bytes, at most", id="too large to read"),
    ],
)
def test_what_is_no_list_of_this_image_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        decode_chunks(data, size_bytes=chunk_list("abz").size_bytes)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_as_a_manifest_error(data: bytes) -> None:
    with pytest.raises(ManifestError):
        decode_chunks(data, size_bytes=100)


def test_a_list_within_every_bound_fits_into_the_largest_there_is() -> None:
    chunks = ChunkList((MIN_CHUNK_BYTES,) * MAX_CHUNKS, bytes(32 * MAX_CHUNKS))
    assert decode_chunks(encode_chunks(chunks), size_bytes=MAX_CHUNKS * MIN_CHUNK_BYTES) == chunks


def laid_out(letters: str) -> list[int]:
    """Return where each chunk begins."""
    return [chunk.first_byte for chunk in chunk_list(letters)]


def test_what_an_old_image_has_is_copied_from_where_it_lies_there() -> None:
    found = copies(chunk_list("abxce".replace("x", "d")), {"old": chunk_list("ceab")})
    at, old = laid_out("abdce"), laid_out("ceab")
    assert found == (
        Copy(0, SIZES["a"] + SIZES["b"], "old", old[2]),
        Copy(at[3], SIZES["c"] + SIZES["e"], "old", 0),
    )
    assert gaps(found, size_bytes=chunk_list("abdce").size_bytes) == ((at[2], SIZES["d"]),)


def test_of_several_images_the_first_that_has_a_chunk_gives_it() -> None:
    found = copies(chunk_list("ab"), {"newer": chunk_list("a"), "older": chunk_list("ba")})
    assert found == (Copy(0, SIZES["a"], "newer", 0), Copy(SIZES["a"], SIZES["b"], "older", 0))


def test_without_older_images_all_is_a_gap() -> None:
    assert copies(chunk_list("az"), {}) == ()
    assert gaps((), size_bytes=chunk_list("az").size_bytes) == ((0, chunk_list("az").size_bytes),)


@given(images, st.lists(images, max_size=3))
def test_copies_and_gaps_together_are_the_image_and_every_copy_is_the_same_chunks(
    wanted: ChunkList, olds: list[ChunkList]
) -> None:
    found = copies(wanted, dict(enumerate(olds)))
    left = gaps(found, size_bytes=wanted.size_bytes)
    parts = sorted([*((copy.first_byte, copy.size_bytes) for copy in found), *left])
    assert [first for first, _ in parts] == [sum(size for _, size in parts[:index]) for index in range(len(parts))]
    assert sum(size for _, size in parts) == wanted.size_bytes
    for copy in found:
        assert _within(wanted, copy.first_byte, copy.size_bytes) == _within(
            olds[copy.source], copy.source_first_byte, copy.size_bytes
        )


def _within(chunks: ChunkList, first_byte: int, size_bytes: int) -> list[tuple[int, bytes]]:
    inside: list[Chunk] = [each for each in chunks if first_byte <= each.first_byte < first_byte + size_bytes]
    return [(each.size_bytes, each.sha256) for each in inside]
