"""The image a run moves, and the check of what arrived."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from netsim.lab.rack.plan import LabPlan
from netsim.lab.run.payload import (
    check_memory,
    digest,
    holds_all,
    load_payload,
    make_image,
    needed_bytes,
    payload_bytes,
)
from swarmboot.errors import NoRootImageError, SpaceError


def build_plan(release: Path | None = None) -> LabPlan:
    return LabPlan("https", 2, 1e6, 10_000, release=release)


def wanted(*paths: Path) -> frozenset[tuple[int, bytes]]:
    return frozenset((path.stat().st_size, digest(path)) for path in paths)


def test_the_random_image_is_always_the_same_and_cannot_be_compressed(tmp_path: Path) -> None:
    size_bytes = 5 * 2**20 + 3
    make_image(tmp_path / "a", size_bytes)
    make_image(tmp_path / "b", size_bytes)
    image = (tmp_path / "a").read_bytes()
    assert len(image) == size_bytes
    assert image == (tmp_path / "b").read_bytes()
    assert len(zlib.compress(image)) >= size_bytes


def test_without_a_release_one_is_made_of_a_root_image_alone(tmp_path: Path) -> None:
    payload = load_payload(build_plan(), tmp_path)
    assert [path.name for path in payload.release.iterdir()] == ["rootfs.squashfs"]
    assert payload.images == (payload.image,)
    assert payload.image.stat().st_size == payload_bytes(build_plan()) == 10_000


def test_a_nodes_images_are_the_root_image_and_the_plugins(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    for name in ("vmlinuz", "rootfs.squashfs", "plugins/20-b.squashfs", "plugins/10-a.squashfs"):
        (tmp_path / name).write_bytes(b"x" * 10)
    payload = load_payload(build_plan(tmp_path), tmp_path / "unused")
    assert [path.name for path in payload.images] == ["rootfs.squashfs", "10-a.squashfs", "20-b.squashfs"]
    assert payload_bytes(build_plan(tmp_path)) == 40


@pytest.mark.parametrize("names", [[], ["vmlinuz"], ["rootfs.squashfs", "rootfs.tar.gz"]])
def test_a_release_without_exactly_one_root_image_cannot_be_moved(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(NoRootImageError):
        load_payload(build_plan(tmp_path), tmp_path)


def test_a_node_is_verified_when_it_holds_the_published_bytes_under_any_name(tmp_path: Path) -> None:
    make_image(tmp_path / "published", 100)
    (tmp_path / "node" / "deep").mkdir(parents=True)
    make_image(tmp_path / "node" / "deep" / "0a1b2c", 100)
    assert holds_all(tmp_path / "node", wanted(tmp_path / "published"))


@pytest.mark.parametrize("change", [b"", b"\0"])
def test_a_node_with_one_wrong_byte_or_none_is_not_verified(tmp_path: Path, change: bytes) -> None:
    make_image(tmp_path / "published", 100)
    (tmp_path / "node").mkdir()
    image = (tmp_path / "published").read_bytes()
    (tmp_path / "node" / "image").write_bytes(image[:-1] + change)
    assert not holds_all(tmp_path / "node", wanted(tmp_path / "published"))


def test_a_node_that_lacks_one_of_two_images_is_not_verified(tmp_path: Path) -> None:
    make_image(tmp_path / "one", 100)
    make_image(tmp_path / "two", 200)
    (tmp_path / "node").mkdir()
    make_image(tmp_path / "node" / "one", 100)
    assert not holds_all(tmp_path / "node", wanted(tmp_path / "one", tmp_path / "two"))


@pytest.mark.parametrize(("memory", "folder"), [(999, 1000), (1000, 999)])
def test_a_run_that_would_not_fit_in_ram_is_refused_before_it_starts(memory: int, folder: int) -> None:
    check_memory(1000, 1000, 1000)
    with pytest.raises(SpaceError, match="too little"):
        check_memory(1000, memory, folder)


def test_the_memory_counted_grows_with_every_nodes_copy() -> None:
    assert needed_bytes(9, 2**30) - needed_bytes(8, 2**30) > 2**30
