"""Images are kept whole or not at all, the oldest release goes first, and never what a boot stands on."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from leecher.cache.folder import CachedImage, CacheFolder
from leecher.cache.keeper import Keepsake, keep, leaving
from swarmboot.ids import Digest
from tests.support.builders import build_bytes


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).digest())


def keepsake(tmp_path: Path, name: str, data: bytes, *, chunks: bytes = b"") -> Keepsake:
    (tmp_path / name).write_bytes(data)
    return Keepsake(tmp_path / name, digest_of(data), len(data), chunks)


def image(number: int, *, issued_s: float, size_bytes: int = 100) -> CachedImage:
    return CachedImage(Digest(bytes([number]) * 32), size_bytes, issued_s)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def test_the_oldest_go_first_and_no_more_than_is_needed() -> None:
    images = [image(1, issued_s=30), image(2, issued_s=10), image(3, issued_s=20)]
    gone = leaving(images, wanted=(), free_bytes=50, needed_bytes=200)
    assert gone == (images[1], images[2])
    assert leaving(images, wanted=(), free_bytes=200, needed_bytes=200) == ()


def test_what_a_boot_stands_on_never_goes_and_nothing_goes_in_vain() -> None:
    images = [image(1, issued_s=30), image(2, issued_s=10)]
    assert leaving(images, wanted={images[1].sha256}, free_bytes=0, needed_bytes=100) == (images[0],)
    assert leaving(images, wanted={images[1].sha256}, free_bytes=0, needed_bytes=101) is None


def test_an_image_is_kept_with_its_list_and_dated_by_its_release(tmp_path: Path, cache: Path) -> None:
    data = build_bytes(100_000)
    kept = keep(cache, (keepsake(tmp_path, "root", data, chunks=b"list"),), issued_s=1000)
    assert str(kept) == "97.7 KiB written to the cache"
    names = {digest_of(data).hex(): data, f"{digest_of(data).hex()}.chunks": b"list"}
    assert {path.name: path.read_bytes() for path in (cache / "images").iterdir()} == names
    assert CacheFolder(cache).images == (CachedImage(digest_of(data), 100_000, 1000),)


def test_an_image_that_is_there_is_not_written_again_and_belongs_to_the_latest_release(
    tmp_path: Path, cache: Path
) -> None:
    root = keepsake(tmp_path, "root", build_bytes(100_000), chunks=b"list")
    keep(cache, (root,), issued_s=1000)
    before = {path.name: path.stat().st_ino for path in (cache / "images").iterdir()}
    assert str(keep(cache, (root,), issued_s=2000)) == "the cache has it all"
    keep(cache, (root,), issued_s=500)
    assert {path.name: path.stat().st_ino for path in (cache / "images").iterdir()} == before
    assert CacheFolder(cache).images[0].issued_s == 2000


@pytest.mark.parametrize("change", ["corrupt", "short", "link", "pipe"])
def test_what_is_not_the_image_in_its_place_is_replaced(tmp_path: Path, cache: Path, change: str) -> None:
    data = build_bytes(100_000)
    root = keepsake(tmp_path, "root", data)
    keep(cache, (root,), issued_s=1000)
    path = cache / "images" / digest_of(data).hex()
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    if change in ("link", "pipe"):
        path.unlink()
        path.symlink_to(outside) if change == "link" else os.mkfifo(path)
    else:
        path.write_bytes(data[:-1] if change == "short" else b"x" + data[1:])
    keep(cache, (root,), issued_s=1000)
    assert not path.is_symlink()
    assert path.read_bytes() == data
    assert outside.read_bytes() == b"mine"


def test_an_image_that_is_no_longer_what_was_signed_is_not_kept(tmp_path: Path, cache: Path) -> None:
    root = keepsake(tmp_path, "root", build_bytes(100_000))
    root.path.write_bytes(build_bytes(100_000, seed=9))
    with pytest.raises(OSError, match="not what was signed"):
        keep(cache, (root,), issued_s=1000)
    assert list((cache / "images").iterdir()) == []


def test_one_writer_at_a_time(tmp_path: Path, cache: Path) -> None:
    import fcntl

    root = keepsake(tmp_path, "root", build_bytes(1000))
    keep(cache, (root,), issued_s=1000)
    directory = os.open(cache / "images", os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        keep(cache, (root,), issued_s=1000)
    os.close(directory)


def test_who_is_killed_in_the_middle_leaves_what_was_there_and_the_next_one_clears_up(
    tmp_path: Path, cache: Path
) -> None:
    old = keepsake(tmp_path, "old", build_bytes(100_000, seed=1), chunks=b"list")
    keep(cache, (old,), issued_s=1000)
    data = build_bytes(3_000_000, seed=2)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    new = Keepsake(pipe, digest_of(data), len(data))
    writer = multiprocessing.get_context("fork").Process(target=keep, args=(cache, (new,)), kwargs={"issued_s": 2000})
    writer.start()
    with pipe.open("wb") as feed:
        feed.write(data[:2_000_000])
        feed.flush()
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    left = {path.name for path in (cache / "images").iterdir()}
    assert f"{digest_of(data).hex()}.new" in left
    assert [each.sha256 for each in CacheFolder(cache).images] == [old.sha256]
    keep(cache, (keepsake(tmp_path, "new", data),), issued_s=2000)
    assert {each.sha256 for each in CacheFolder(cache).images} == {old.sha256, digest_of(data)}
    assert not any(path.name.endswith(".new") for path in (cache / "images").iterdir())
