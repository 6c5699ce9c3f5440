"""The options that make an image like another."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from seeder.squashfs.superblock import Flag, Superblock, packing_options, parse_superblock
from swarmboot.errors import ReleaseError

USUAL = Superblock(3, 99, 131072, 0, "xz", Flag.DUPLICATES | Flag.EXPORTABLE, 1, 0, 5000, 0, 0, 0, 0, 0, 0)


def options(compressor: str = "xz", data: bytes = b"", flags: Flag = USUAL.flags) -> str:
    return " ".join(packing_options(replace(USUAL, compressor=compressor, flags=flags), data))


def test_an_image_of_the_usual_kind_needs_its_compressor_block_size_and_time() -> None:
    assert options() == "-comp xz -b 131072 -mkfs-time 99"


@pytest.mark.parametrize(
    ("compressor", "data", "said"),
    [
        ("gzip", struct.pack("<iHH", 6, 12, 3), "-Xcompression-level 6 -Xwindow-size 12 -Xstrategy default,filtered"),
        ("xz", struct.pack("<iI", 65536, 0b1001), "-Xdict-size 65536 -Xbcj x86,arm"),
        ("zstd", struct.pack("<i", 19), "-Xcompression-level 19"),
        ("lz4", struct.pack("<iI", 1, 1), "-Xhc"),
        ("lzo", struct.pack("<iI", 4, 8), "-Xalgorithm lzo1x_999 -Xcompression-level 8"),
        ("lzo", struct.pack("<iI", 1, 0), "-Xalgorithm lzo1x_1_11"),
    ],
)  # fmt: skip
def test_a_compressors_own_options_are_kept(compressor: str, data: bytes, said: str) -> None:
    assert options(compressor, data) == f"-comp {compressor} {said} -b 131072 -mkfs-time 99"


def test_what_was_left_uncompressed_or_out_is_so_again() -> None:
    assert options(flags=Flag(0xBBB)).split()[6:] == [
        "-noI", "-noD", "-noF", "-noX", "-noId", "-no-fragments", "-always-use-fragments", "-no-xattrs",
        "-no-duplicates",
    ]  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"hsqs", b"x" * 200, struct.pack("<5I6H8Q", 0x73717368, *[0] * 18)])
def test_what_is_no_squashfs_is_refused(data: bytes) -> None:
    with pytest.raises(ReleaseError, match="rootfs is no squashfs"):
        parse_superblock(data, label="rootfs")
