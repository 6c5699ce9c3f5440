"""Which release a channel goes back to, and what one release costs a node that has another: decided, nothing read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from seeder.handles.choice import before, is_pointed_to, is_same, renewed
from seeder.handles.difference import compare, lines
from swarmboot.errors import ReleaseError
from swarmboot.ids import Digest, InfoHash, Sequence
from swarmboot.release.chunks import ChunkList
from swarmboot.release.manifest import Artifact, Manifest, Profile, Role
from tests.support.builders import build_manifest


def release(number: int, name: str) -> Manifest:
    return replace(build_manifest(), sequence=Sequence(number), name=name, issued_unix_s=number, expires_unix_s=9000)


def known(*names: str) -> dict[Sequence, Manifest]:
    return {Sequence(number): release(number, name) for number, name in enumerate(names, 1)}


@pytest.mark.parametrize(
    ("names", "current", "expected"),
    [
        ("ab", 2, 1),
        ("abc", 3, 2),
        ("abcb", 4, 1),  # after a rollback to 2: the one before that, not the one that was left
        ("abcba", 4, 1),
        ("aab", 3, 2),
        ("abb", 3, 1),  # issued anew: the same release twice
        ("abc", 2, 1),
    ],
)
def test_a_channel_goes_back_to_the_newest_older_release_that_says_something_else(
    names: str, current: int, expected: int
) -> None:
    releases = known(*names)
    assert before(releases[Sequence(current)], releases, channels=1) == expected


@pytest.mark.parametrize(("names", "current"), [("a", 1), ("aa", 2), ("aba", 3)])
def test_there_is_nothing_before_the_first_release(names: str, current: int) -> None:
    releases = known(*names)
    with pytest.raises(ReleaseError, match="no release before 1"):
        before(releases[Sequence(current)], releases, channels=1)


def test_a_release_that_is_issued_anew_says_the_same_and_lives_as_long() -> None:
    old = release(3, "a")
    new = renewed(old, now_unix_s=50_000.5)
    assert is_same(replace(new, sequence=Sequence(9)), old)
    assert (new.issued_unix_s, new.expires_unix_s) == (50_000, 50_000 + 9000 - 3)
    assert not is_same(replace(new, cmdline="quiet"), old)


def test_a_channel_points_to_anothers_manifest_unless_its_number_is_lower_or_it_ends_soon() -> None:
    low, high = release(1, "a"), release(2, "b")
    assert is_pointed_to(high, low, now_unix_s=100)
    assert is_pointed_to(low, None, now_unix_s=100)
    assert not is_pointed_to(low, high, now_unix_s=100)
    assert not is_pointed_to(high, low, now_unix_s=6100)


def image(name: str, digest: int, *, size_bytes: int, piece_bytes: int = 16384, role: Role = Role.ROOT) -> Artifact:
    filled = bytes([digest]) * 32
    return Artifact(name, role, "squashfs", size_bytes, Digest(filled), InfoHash(filled), piece_bytes)


def cost(old: Artifact, new: Artifact, layers: Mapping[Digest, tuple[bytes, ...]] | None = None) -> int:
    first = replace(build_manifest(), artifacts=(old,))
    hashes = layers or {}
    return compare(
        first, replace(first, artifacts=(new,)), lambda each: hashes.get(each.sha256, ()), lambda _: None
    ).cost_bytes


def test_a_node_fetches_pieces_that_differ_at_their_place_and_the_last_one_in_its_own_size() -> None:
    old, new = (image("rootfs.squashfs", digest, size_bytes=3 * 16384 + 5) for digest in (1, 2))
    layers: dict[Digest, tuple[bytes, ...]] = {
        old.sha256: (b"a", b"b", b"c", b"d"),
        new.sha256: (b"a", b"c", b"b", b"d"),
    }
    assert cost(old, new, layers) == 2 * 16384
    assert cost(old, new, {**layers, new.sha256: (b"a", b"b", b"c", b"e")}) == 5
    assert cost(old, replace(new, piece_bytes=65536), layers) == new.size_bytes
    assert cost(old, replace(new, name="other.squashfs"), layers) == new.size_bytes
    assert cost(old, old) == 0


def test_what_is_no_file_is_said_in_lines_and_stage_0_counted_apart() -> None:
    root, kernel = image("rootfs.squashfs", 1, size_bytes=1000), image("vmlinuz", 2, size_bytes=500, role=Role.KERNEL)
    old = replace(build_manifest(), artifacts=(root,), env={"A": "1", "B": "1"}, cmdline="", profiles=())
    new = replace(
        old, artifacts=(root, kernel), env={"B": "2", "C": "3"}, cmdline="quiet", profiles=(Profile("gpu"),),
        secrets={"": Digest(bytes(32))},
    )  # fmt: skip
    found = compare(old, new, lambda _: (), lambda _: None)
    assert found.settings == (
        "cmdline: none -> quiet", "setting A: 1 -> none", "setting B: 1 -> 2", "setting C: none -> 3",
        "profile gpu: new", "secret settings: new",
    )  # fmt: skip
    assert (found.cost_bytes, found.stage0_bytes) == (0, 500)
    assert [(each.name, each.change) for each in found.images] == [("rootfs.squashfs", "same"), ("vmlinuz", "new")]
    assert "a node that has all of 1 fetches 0 B for 2; firmware loads 500 B of stage 0" in lines(
        found, old="1", new="2"
    )


def test_by_chunks_a_node_fetches_the_pieces_of_which_no_old_image_has_all() -> None:
    piece, chunk = 65536, 32768
    old, new = (image("rootfs.squashfs", digest, size_bytes=4 * piece, piece_bytes=piece) for digest in (1, 2))
    plugin = image("a.squashfs", 3, size_bytes=chunk, role=Role.PLUGIN)
    lists = {
        old.sha256: ChunkList((chunk,) * 8, b"".join(bytes([n]) * 32 for n in b"abcdefgh")),
        plugin.sha256: ChunkList((chunk,), b"p" * 32),
        new.sha256: ChunkList((chunk,) * 8, b"".join(bytes([n]) * 32 for n in b"hpXbcdef")),  # `X` is nowhere
    }
    first = replace(build_manifest(), artifacts=(old, plugin))
    second = replace(first, artifacts=(new, plugin))
    found = compare(first, second, lambda _: (), lambda each: lists.get(each.sha256))
    assert (found.cost_bytes, found.chunked_bytes) == (4 * piece, piece)
    assert "64.0 KiB if it puts them together out of chunks" in lines(found, old="1", new="2")[-1]
    without = compare(first, second, lambda _: (), lambda _: None)
    assert without.chunked_bytes == without.cost_bytes
