"""What of an arriving image may be read: pieces whose hashes are those that were signed, and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

import pytest

from leecher.lazy.image import ImageFacts, VerifiedFile
from leecher.lazy.link import images_text, read_images
from swarmboot.release.merkle import NO_BLOCK, merkle_root, piece_root

PIECE, BLOCK = 1 << 16, 1 << 14


def layer_of(data: bytes) -> tuple[bytes, ...]:
    pieces = [data[start : start + PIECE] for start in range(0, len(data), PIECE)]
    blocks = [
        [hashlib.sha256(piece[at : at + BLOCK]).digest() for at in range(0, len(piece), BLOCK)] for piece in pieces
    ]
    if len(pieces) == 1:
        return (merkle_root(blocks[0], pad=NO_BLOCK),)
    return tuple(piece_root(each, PIECE // BLOCK) for each in blocks)


def build_file(folder: Path, data: bytes) -> tuple[VerifiedFile, Path, memoryview]:
    path = folder / "image"
    facts = ImageFacts(str(path), len(data), PIECE, layer_of(data))
    return VerifiedFile(facts), path, memoryview(bytearray(PIECE))


@pytest.mark.parametrize("size_bytes", [1, BLOCK, PIECE, PIECE + 1, 3 * PIECE - 700])
def test_a_piece_that_is_there_and_right_may_be_read(tmp_path: Path, size_bytes: int) -> None:
    data = Random(1).randbytes(size_bytes)
    file, path, room = build_file(tmp_path, data)
    assert not file.verify(0, room)
    path.write_bytes(data)
    assert all(file.verify(index, room) for index in range(file.facts.pieces))
    view = memoryview(bytearray(size_bytes + 10))
    assert file.read(view, 0) == size_bytes
    assert bytes(view[:size_bytes]) == data
    file.close()


def test_a_piece_that_is_wrong_may_not_be_read_until_it_is_right(tmp_path: Path) -> None:
    data = Random(1).randbytes(3 * PIECE)
    file, path, room = build_file(tmp_path, data)
    wrong = bytearray(data)
    wrong[PIECE + 5] ^= 1
    path.write_bytes(wrong)
    assert file.verify(0, room)
    assert not file.verify(1, room)
    with path.open("r+b") as again:
        again.seek(PIECE)
        again.write(data[PIECE : 2 * PIECE])
    assert file.verify(1, room)
    file.close()


def test_a_link_in_the_files_place_is_not_followed(tmp_path: Path) -> None:
    data = Random(1).randbytes(PIECE)
    file, path, room = build_file(tmp_path, data)
    (tmp_path / "elsewhere").write_bytes(data)
    path.symlink_to(tmp_path / "elsewhere")
    assert not file.verify(0, room)


def test_a_read_touches_no_piece_beyond_the_end(tmp_path: Path) -> None:
    file, _, _ = build_file(tmp_path, Random(1).randbytes(2 * PIECE + 1))
    assert list(file.span(PIECE - 1, 2)) == [0, 1]
    assert list(file.span(2 * PIECE, 1 << 20)) == [2]
    assert list(file.span(2 * PIECE + 1, 10)) == []


def test_what_the_fetcher_says_of_images_is_what_the_server_hears() -> None:
    images = [ImageFacts("/run/a", 5, PIECE, (b"a" * 32,)), ImageFacts("/run/b c", 3 * PIECE, PIECE, (b"b" * 32,) * 3)]
    assert read_images(images_text(images)) == images
