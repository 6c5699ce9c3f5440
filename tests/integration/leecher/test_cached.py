"""A node takes from its cache what that has of a release, believes nothing of it, and fetches the rest."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.loopback import Fleet, asking, booting, build_fleet, build_release, serving

IMAGE = "rootfs.squashfs"
SIZE_BYTES = 12_000_000
SLOW = ("--uplink", "20mbit")
"""A network that no cache is slower than, on however busy a machine: what the cache has is asked of it alone."""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return build_release(tmp_path / "release", size_bytes=SIZE_BYTES, plugins=0)


@pytest.fixture
def fleet(tmp_path: Path, release: Path) -> Fleet:
    (release / "plugins").rmdir()
    return build_fleet(tmp_path / "fleet", release)


@pytest.fixture
def cache(tmp_path: Path, release: Path) -> Path:
    """A cache with the release's image."""
    folder = tmp_path / "cache"
    (folder / "images").mkdir(parents=True)
    cached(folder, release).write_bytes((release / IMAGE).read_bytes())
    return folder


def cached(cache: Path, release: Path) -> Path:
    return cache / "images" / hashlib.sha256((release / IMAGE).read_bytes()).hexdigest()


def empty(tmp_path: Path) -> None:
    """Have node1 begin anew, as a machine does whose images were in RAM."""
    (tmp_path / "node1" / IMAGE).unlink()
    (tmp_path / "node1.json").unlink()


def fetch(tmp_path: Path, fleet: Fleet, release: Path, cache: Path, *serve: str) -> tuple[dict[str, Any], str]:
    """Fetch with a cache; return the report and what was said. The image must be right."""
    with serving(fleet, *serve) as seeder, booting(tmp_path, 1, *asking(seeder, fleet), "--cache", cache) as node:
        status, said = node.end()
        assert status == 0, said
        assert (tmp_path / "node1" / IMAGE).read_bytes() == (release / IMAGE).read_bytes()
        return node.report(), said


def test_an_unchanged_release_costs_no_image_byte(tmp_path: Path, fleet: Fleet, release: Path, cache: Path) -> None:
    report, said = fetch(tmp_path, fleet, release, cache, *SLOW)
    assert report["bytes_from"] == {"neighbours": 0, "origin": 0, "cache": SIZE_BYTES}, said


def test_what_was_fetched_is_kept_and_the_next_fetch_has_it(tmp_path: Path, fleet: Fleet, release: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    report, said = fetch(tmp_path, fleet, release, cache)
    assert report["bytes_from"]["cache"] == 0
    assert "written to the cache" in said
    assert cached(cache, release).read_bytes() == (release / IMAGE).read_bytes()
    empty(tmp_path)
    report, said = fetch(tmp_path, fleet, release, cache, *SLOW)
    assert report["bytes_from"] == {"neighbours": 0, "origin": 0, "cache": SIZE_BYTES}
    assert "the cache has it all" in said


def test_what_a_cache_has_wrong_is_fetched_and_then_kept_right(
    tmp_path: Path, fleet: Fleet, release: Path, cache: Path
) -> None:
    path = cached(cache, release)
    stored = bytearray(path.read_bytes())
    for at in range(0, SIZE_BYTES, 3_000_000):
        stored[at] ^= 1
    path.write_bytes(stored)
    report, said = fetch(tmp_path, fleet, release, cache, *SLOW)
    assert report["bytes_from"]["origin"] == 4 * (1 << 16)
    assert report["bytes_from"]["cache"] == SIZE_BYTES - 4 * (1 << 16)
    assert report["hash_failures"] == 0
    assert "4 pieces of the cache were not what they should have been" in said
    assert path.read_bytes() == (release / IMAGE).read_bytes()


@pytest.mark.parametrize("layout", ["short", "pipe", "images is a link"])
def test_a_cache_that_is_none_costs_its_use_alone(
    tmp_path: Path, fleet: Fleet, release: Path, cache: Path, layout: str
) -> None:
    path = cached(cache, release)
    data = path.read_bytes()
    path.unlink()
    outside = tmp_path / "outside"
    outside.mkdir()
    if layout == "short":
        path.write_bytes(data[:-1])
    elif layout == "pipe":
        os.mkfifo(path)
    else:
        (cache / "images").rmdir()
        (cache / "images").symlink_to(outside)
    report, said = fetch(tmp_path, fleet, release, cache)
    assert report["bytes_from"]["origin"] >= SIZE_BYTES, said
    assert report["bytes_from"].get("cache", 0) == 0
    assert list(outside.iterdir()) == []


_SLOW = """
import os, sys, threading, time
del sys.argv[1:3]  # -m leecher
from functools import partial
from leecher.swarm import cached
def slow(descriptor, size_bytes, at_byte):
    {wait}
    return os.pread(descriptor, size_bytes, at_byte)
cached.CacheReader = partial(cached.CacheReader, read=slow)
from leecher.boot.start import main
main(time.monotonic())
"""


@pytest.mark.parametrize(("wait", "least"), [("time.sleep(0.1)", 3), ("threading.Event().wait()", 0)])
def test_a_cache_that_is_slow_or_hangs_does_not_hold_a_boot_up(
    tmp_path: Path, fleet: Fleet, release: Path, cache: Path, wait: str, least: int
) -> None:
    python = (sys.executable, "-c", _SLOW.format(wait=wait))
    with (
        serving(fleet) as seeder,
        booting(tmp_path, 1, *asking(seeder, fleet), "--cache", cache, python=python) as node,
    ):
        status, said = node.end()
        sources = node.report()["bytes_from"]
    assert status == 0, said
    assert (tmp_path / "node1" / IMAGE).read_bytes() == (release / IMAGE).read_bytes()
    assert sources["cache"] >= least << 16
    assert sources["origin"] >= SIZE_BYTES - sources["cache"] > SIZE_BYTES // 2
    assert said.count("slower than the network") == 1


@pytest.mark.root
@pytest.mark.parametrize(("options", "words"), [("ro", "Read-only file system"), ("size=8M", "no room for")])
def test_a_cache_that_cannot_be_written_or_is_full_costs_one_line(
    tmp_path: Path, fleet: Fleet, release: Path, options: str, words: str
) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)
    try:
        _, said = fetch(tmp_path, fleet, release, folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert [words in line for line in said.splitlines() if "cache" in line] == [True], said


def insert(release: Path) -> None:
    """Publish's next release: the image with a few bytes more at three places."""
    image = release / IMAGE
    data, random = image.read_bytes(), Random(7)
    for at in (10_000_000, 6_000_000, 1_000_000):
        data = data[:at] + random.randbytes(1000) + data[at:]
    image.unlink()
    image.write_bytes(data)


def test_of_an_image_that_has_grown_in_the_middle_most_comes_from_the_older_one(
    tmp_path: Path, fleet: Fleet, release: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    fetch(tmp_path, fleet, release, cache)
    empty(tmp_path)
    old = cached(cache, release)
    insert(release)
    fleet.publish(release)
    report, said = fetch(tmp_path, fleet, release, cache, *SLOW)
    sources, size_bytes = report["bytes_from"], (release / IMAGE).stat().st_size
    assert sources["cache"] >= 0.85 * size_bytes, said
    assert sources["origin"] <= size_bytes - sources["cache"]
    assert cached(cache, release).with_suffix(".chunks").exists()
    empty(tmp_path)
    old_bytes = old.read_bytes()
    cached(cache, release).unlink()
    old.write_bytes(old_bytes[1:] + old_bytes[:1])  # now its list lies, of every chunk
    report, said = fetch(tmp_path, fleet, release, cache)
    assert (report["bytes_from"]["cache"], report["hash_failures"]) == (0, 0), said
