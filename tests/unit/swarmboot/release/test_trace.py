"""A boot's trace: lines of reads become runs of pieces in the manifest, each piece once, in order."""

from __future__ import annotations

import pytest

from swarmboot.errors import ReleaseError
from swarmboot.release.manifest import Role
from swarmboot.release.trace import Read, check_known, format_trace, parse_trace, pieces_of, ranges_of
from tests.support.builders import build_artifact, build_manifest, build_plugin

PIECE = 1 << 16


def ranges(*reads: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    return ranges_of([Read(*read) for read in reads], size_bytes=10 * PIECE, piece_bytes=PIECE, where="x")


def test_what_was_written_is_read_again() -> None:
    reads = [("rootfs.squashfs", Read(0, 96)), ("10-a.squashfs", Read(5, 1)), ("rootfs.squashfs", Read(70000, 4096))]
    assert parse_trace(format_trace(reads), where="trace") == {
        "rootfs.squashfs": (Read(0, 96), Read(70000, 4096)),
        "10-a.squashfs": (Read(5, 1),),
    }


def test_pieces_stand_in_the_order_of_their_first_read_and_none_stands_twice() -> None:
    assert ranges((9 * PIECE, 10), (0, 96), (PIECE, 1), (2 * PIECE - 1, 2), (9 * PIECE, 5)) == ((9, 1), (0, 3))


def test_a_read_within_the_last_short_piece_counts() -> None:
    assert ranges((10 * PIECE - 1, 1)) == ((9, 1),)


def test_a_read_beyond_the_image_is_refused() -> None:
    with pytest.raises(ReleaseError, match="reads beyond its end"):
        ranges((10 * PIECE - 1, 2))


@pytest.mark.parametrize("line", ["rootfs.squashfs 0", "rootfs.squashfs 0 0", "rootfs.squashfs -1 5", "a b c", "a ² 1"])
def test_a_line_that_is_no_read_is_named(line: str) -> None:
    with pytest.raises(ReleaseError, match="trace:2 is no read"):
        parse_trace(f"# swarmboot trace\n{line}\n", where="trace")


def test_a_trace_without_reads_is_refused() -> None:
    with pytest.raises(ReleaseError, match="holds no read"):
        parse_trace("# swarmboot trace\n\n", where="trace")


def test_an_image_that_is_not_there_is_named() -> None:
    with pytest.raises(ReleaseError, match="names an image that is not there"):
        check_known({"other.squashfs": ()}, ["rootfs.squashfs"], where="the trace")


def test_the_boot_set_are_all_pieces_of_the_trace() -> None:
    assert pieces_of(((9, 1), (0, 3))) == 0b10_0000_0111


def test_a_boot_waits_for_what_it_reads_of_mounted_images_and_for_all_of_unpacked_ones() -> None:
    root = build_artifact(trace=((2, 1), (5, 2)))
    unread, archive = build_plugin("10-tools.squashfs"), build_plugin("20-more.tar", format="tar", size_bytes=150_000)
    kernel = build_artifact("vmlinuz", role=Role.KERNEL, format="")
    release = build_manifest(artifacts=(root, unread, archive, kernel))
    assert release.boot_sets == {root.info_hash: 0b110_0100, archive.info_hash: 0b111}


def test_without_a_trace_no_image_comes_before_another() -> None:
    assert build_manifest(artifacts=(build_artifact(), build_plugin("more.tar", format="tar"))).boot_sets == {}
