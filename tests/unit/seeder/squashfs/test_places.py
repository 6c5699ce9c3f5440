"""Which files were read, by the bytes of an image that were."""

from __future__ import annotations

import itertools
from random import Random

from seeder.squashfs.places import Part, parts_under
from seeder.squashfs.reader import Inode, Squashfs
from seeder.squashfs.superblock import Flag, Superblock

BLOCK_BYTES = 1 << 16


def file(first_byte: int, *stored: int, size_bytes: int) -> Inode:
    return Inode("file", 0o644, 0, 0, 0, 1, size_bytes=size_bytes, first_byte=first_byte, stored=stored)


def image() -> Squashfs:
    """Three files beside each other: of 900 bytes, of two blocks of which the second is 7,000 bytes, and of 5,000."""
    nodes = {
        b"small": file(100, 900, size_bytes=2_000),
        b"large": file(1_000, 40_000, 7_000, size_bytes=BLOCK_BYTES + 10_000),
        b"last": file(48_000, 5_000, size_bytes=9_000),
    }
    superblock = Superblock(4, 0, BLOCK_BYTES, 0, "gzip", Flag.NO_FRAGMENTS, 1, 0, 60_000, 0, 0, 53_000, 53_500, 0, 0)
    return Squashfs("image", superblock, b"", nodes, ())


def names(*reads: tuple[int, int]) -> list[tuple[bytes, int]]:
    return [(part.path, part.first_byte) for part in parts_under(image(), reads)]


def test_a_neighbour_in_the_page_around_a_block_was_not_read() -> None:
    assert names((0, 4_096)) == [(b"small", 0)]
    assert names((40_960, 8_192)) == [(b"large", BLOCK_BYTES)]


def test_a_block_is_read_by_the_read_that_completes_it_and_told_once() -> None:
    assert names((48_000, 2_000), (0, 1_000), (51_000, 2_000), (49_500, 1_600), (47_000, 6_000)) == [
        (b"small", 0), (b"last", 0),
    ]  # fmt: skip


def test_in_whatever_parts_an_image_is_read_all_of_its_blocks_are_told() -> None:
    cuts = sorted({0, 60_000, *Random(1).sample(range(60_000), 40)})
    reads = [(first, end - first) for first, end in itertools.pairwise(cuts)]
    for seed in range(20):
        Random(seed).shuffle(reads)
        assert sorted(parts_under(image(), reads), key=lambda part: (part.path, part.first_byte)) == [
            Part(b"large", 0, BLOCK_BYTES), Part(b"large", BLOCK_BYTES, 10_000), Part(b"last", 0, 9_000),
            Part(b"small", 0, 2_000),
        ]  # fmt: skip
