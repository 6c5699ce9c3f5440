"""What a cache folder holds is taken for what it is: bytes that anybody may have written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from leecher.cache.folder import CacheFolder, name_of, open_cache
from leecher.cache.plan import lists_wanted, plan_copies
from swarmboot.ids import Digest
from swarmboot.release import layout
from swarmboot.release.chunks import ChunkList, encode_chunks
from swarmboot.release.manifest import Pinned
from tests.support.builders import build_artifact, build_bytes

CHUNK_BYTES = 1 << 15


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).digest())


def chunks_of(data: bytes) -> bytes:
    parts = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    return encode_chunks(ChunkList(tuple(map(len, parts)), b"".join(map(digest_of, parts))))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def keep(images: Path, data: bytes, *, chunks: bytes | None = None, issued_s: float = 1000) -> Path:
    path = images / name_of(digest_of(data))
    path.write_bytes(data)
    path.with_suffix(".chunks").write_bytes(chunks_of(data) if chunks is None else chunks)
    os.utime(path, (issued_s, issued_s))
    return path


def test_images_are_found_the_newest_first(tmp_path: Path, images: Path) -> None:
    old, new = build_bytes(100_000, seed=1), build_bytes(90_000, seed=2)
    keep(images, old, issued_s=1000)
    keep(images, new, issued_s=2000)
    found = CacheFolder(tmp_path)
    assert [(each.sha256, each.size_bytes) for each in found.images] == [
        (digest_of(new), 90_000), (digest_of(old), 100_000),
    ]  # fmt: skip
    assert list(found.lists()) == [digest_of(new), digest_of(old)]


def test_only_regular_files_under_the_name_of_a_digest_are_images(tmp_path: Path, images: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"x")
    names = [f"{number:064x}" for number in range(4)]
    (images / names[0]).symlink_to(outside)
    os.mkfifo(images / names[1])
    (images / names[2]).mkdir()
    (images / f"{names[3]}.partial").write_bytes(b"x")
    (images / "README").write_bytes(b"x")
    found = CacheFolder(tmp_path)
    assert found.images == ()
    for name in names:
        with pytest.raises(OSError), found.open(name):  # noqa: PT011 - which of them is the kernel's affair
            pass


def test_a_list_that_is_a_link_or_a_pipe_is_passed_over(tmp_path: Path, images: Path) -> None:
    for number, seed in enumerate((1, 2)):
        path = keep(images, build_bytes(100_000, seed=seed)).with_suffix(".chunks")
        path.unlink()
        if number:
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
    assert CacheFolder(tmp_path).lists() == {}


@pytest.mark.parametrize("chunks", [b"", b"\xc1", bytes(1 << 20), chunks_of(bytes(200_000))])
def test_a_list_that_is_none_or_anothers_or_too_long_is_passed_over(
    tmp_path: Path, images: Path, chunks: bytes
) -> None:
    keep(images, build_bytes(100_000), chunks=chunks)
    assert CacheFolder(tmp_path).lists() == {}


def test_a_folder_that_is_not_there_has_no_images_and_one_that_is_a_file_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    empty = open_cache(str(tmp_path / "missing"), tell=told.append)
    assert empty is not None
    assert empty.images == ()
    (tmp_path / "images").write_bytes(b"")
    assert open_cache(str(tmp_path), tell=told.append) is None
    assert len(told) == 1
    assert "booting without it" in told[0]
    assert open_cache("", tell=told.append) is None


def test_an_image_under_its_own_digest_needs_no_list(tmp_path: Path, images: Path) -> None:
    data = build_bytes(1_000_000)
    keep(images, data, chunks=b"")
    wanted = build_artifact(sha256=digest_of(data), chunks=Pinned(digest_of(b""), 1))
    folder = CacheFolder(tmp_path)
    assert lists_wanted(folder, [wanted]) == {}
    assert plan_copies(folder, [wanted], {}).pieces == {wanted.info_hash: (1 << wanted.pieces) - 1}


def test_what_an_older_image_has_is_found_by_the_lists_wherever_it_lies(tmp_path: Path, images: Path) -> None:
    old = build_bytes(1_048_576, seed=1)
    new = build_bytes(CHUNK_BYTES, seed=2) + old
    keep(images, old)
    listed = chunks_of(new)
    pinned = Pinned(digest_of(listed), len(listed))
    wanted = build_artifact(sha256=digest_of(new), size_bytes=len(new), chunks=pinned)
    folder, path = CacheFolder(tmp_path), layout.blob_path(pinned.sha256)
    assert lists_wanted(folder, [wanted]) == {path: len(listed)}
    plan = plan_copies(folder, [wanted], {path: listed})
    assert plan.pieces == {wanted.info_hash: (1 << wanted.pieces) - 2}  # the first piece has the new bytes
    assert plan_copies(folder, [wanted], {path: listed + b"x"}).pieces == {}
    assert plan_copies(folder, [wanted], {}).pieces == {}


def test_an_image_of_another_size_than_the_manifest_says_is_no_image_of_that_digest(
    tmp_path: Path, images: Path
) -> None:
    wanted = build_artifact()
    (images / name_of(wanted.sha256)).write_bytes(b"short")
    assert plan_copies(CacheFolder(tmp_path), [wanted], {}).pieces == {}
