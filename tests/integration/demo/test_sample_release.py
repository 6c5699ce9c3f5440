"""The sample release, as its program makes it without root: a generated one, built once, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = (sys.executable, "-m", "netsim.demo.release", "--generated", "--cache")

pytestmark = pytest.mark.needs("mksquashfs")


def build(cache: Path) -> str:
    done = subprocess.run((*PROGRAM, str(cache)), capture_output=True, text=True, check=True, timeout=240)
    return done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    build(folder)
    return folder


def test_it_holds_a_root_image_a_plugin_and_settings_and_says_what_it_is(tmp_path: Path) -> None:
    said = build(tmp_path)
    release = tmp_path / "sample-release"
    files = {str(path.relative_to(release)) for path in release.rglob("*") if path.is_file()}
    assert files == {"rootfs.squashfs", "plugins/10-hello.squashfs", "release.toml", "env/site.env"}
    assert said.startswith(
        "sample release: a squashfs of the Python packages installed here instead of a real Debian: "
    )
    assert said.count("\n") == 1


def test_a_second_call_builds_nothing(cache: Path) -> None:
    image = cache / "sample-release" / "rootfs.squashfs"
    before = image.stat()
    build(cache)
    assert (image.stat().st_ino, image.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_plugin_built_elsewhere_is_the_same_bytes(cache: Path, tmp_path: Path) -> None:
    build(tmp_path)
    plugins = [folder / "sample-release" / "plugins" / "10-hello.squashfs" for folder in (cache, tmp_path)]
    assert plugins[0].read_bytes() == plugins[1].read_bytes()


def test_the_plugin_takes_motd_away_by_a_whiteout(cache: Path) -> None:
    plugin = cache / "sample-release" / "plugins" / "10-hello.squashfs"
    listed = subprocess.run(("unsquashfs", "-lln", str(plugin)), capture_output=True, text=True, check=True).stdout
    rows = {line.split()[-1]: line.split() for line in listed.splitlines() if line}
    assert rows["squashfs-root/etc/motd"][:4] == ["crw-------", "0/0", "0,", "0"]
    assert rows["squashfs-root/usr/local/bin/hello"][0] == "-rwxr-xr-x"


def test_an_older_recipe_is_built_again(tmp_path: Path) -> None:
    build(tmp_path)
    record = tmp_path / "sample-release.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "recipe": 0}))
    (tmp_path / "sample-release" / "rootfs.squashfs").write_bytes(b"old")
    build(tmp_path)
    assert (tmp_path / "sample-release" / "rootfs.squashfs").read_bytes().startswith(b"hsqs")
    assert json.loads(record.read_text())["recipe"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_build_leaves_no_release(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen((*PROGRAM, str(tmp_path)), stderr=subprocess.PIPE) as process:
        while process.poll() is None and not list(tmp_path.glob("*.partial/release/rootfs.squashfs")):
            os.sched_yield()
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert {path.name for path in tmp_path.iterdir()} == {"sample-release.lock"}


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "sample-release.dead.partial" / "release").mkdir(parents=True)
    build(tmp_path)
    assert not list(tmp_path.glob("*.partial"))
