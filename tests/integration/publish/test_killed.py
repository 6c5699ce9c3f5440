"""A publish that is killed, at whatever moment, leaves the release before it served, and the next one tidies up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swarmboot.release import key_files
from tests.support.builders import build_release
from tests.support.commands import run
from tests.support.waiting import wait_until

# Runs the real program and kills it with SIGKILL just before the step with this number: a step is any opening, renaming
# or removing of a file of the site.
KILLED_AT = """
import os, signal, sys
site, last = sys.argv.pop(1), int(sys.argv.pop(1))
from seeder.publish import cli
from seeder.publish import publish
from seeder.site import progress
from seeder.publish import release_dir as release
from seeder.site import writer as site_writer
steps = 0
def watch(event, arguments):
    global steps
    if event in ("open", "os.rename", "os.remove") and any(str(name).startswith(site) for name in arguments):
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
from swarmboot.cli import main
try:
    main()
finally:
    print(steps, file=sys.stderr)
"""


class Scene:
    """A site with a first release published, and a second one that is about to be."""

    def __init__(self, folder: Path, *, size_bytes: int) -> None:
        self.site = folder / "site"
        self.key, self.public = key_files.write_pair(folder / "keys")
        first = build_release(folder / "first", plugins=["10-a.squashfs"])
        done = run("publish", "--force", first, "--site", self.site, "--key", self.key)
        assert done.status == 0, done.err
        self.second = build_release(
            folder / "second", size_bytes=size_bytes, plugins=["10-a.squashfs", "20-b.squashfs"]
        )
        self._before = folder / "before"
        shutil.copytree(self.site, self._before)

    @property
    def arguments(self) -> list[str]:
        return ["publish", "--force", str(self.second), "--site", str(self.site), "--key", str(self.key)]

    def restore(self) -> None:
        """Put the site back to where only the first release was published."""
        shutil.rmtree(self.site)
        shutil.copytree(self._before, self.site)

    def served(self) -> list[str]:
        """Return the names of the images that nodes would boot, once all of the site has been verified."""
        done = run("verify", self.site, "--trust", self.public, "--json")
        assert done.status == 0, done.err
        (channel,) = done.value["channels"]
        return [artifact["name"] for artifact in channel["artifacts"]]

    def check_the_next_publish(self) -> None:
        """Check that publishing again completes the work and leaves nothing half-written behind."""
        done = run(*self.arguments)
        assert done.status == 0, done.err
        assert self.served() == SECOND
        assert list((self.site / ".incoming").iterdir()) == []


FIRST = ["rootfs.squashfs", "10-a.squashfs"]
SECOND = ["rootfs.squashfs", "10-a.squashfs", "20-b.squashfs"]


def killed_at(scene: Scene, step: int) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", KILLED_AT, str(scene.site), str(step), *scene.arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def test_killed_before_any_step_it_leaves_the_first_release_and_the_next_publish_completes(tmp_path: Path) -> None:
    scene = Scene(tmp_path, size_bytes=100_000)
    whole = killed_at(scene, 0)
    assert whole.returncode == 0, whole.stderr
    steps = int(whole.stderr.splitlines()[-1])
    assert steps > 10
    outcomes = []
    for step in range(1, steps + 1):
        scene.restore()
        assert killed_at(scene, step).returncode == -signal.SIGKILL
        outcomes.append(scene.served())
        scene.check_the_next_publish()
    assert outcomes.count(FIRST) + outcomes.count(SECOND) == steps
    assert outcomes[0] == FIRST
    assert outcomes[-1] == SECOND
    assert sorted(outcomes, key=len) == outcomes


@pytest.mark.parametrize("part", [0.05, 0.4])
def test_killed_in_the_midst_of_a_copy_it_leaves_the_first_release(tmp_path: Path, part: float) -> None:
    size_bytes = 192 << 20
    scene = Scene(tmp_path, size_bytes=100_000)
    os.truncate(scene.second / "rootfs.squashfs", size_bytes)
    words = [sys.executable, "-m", "swarmboot", *scene.arguments]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(
            "a part copied", lambda: copied_bytes(scene.site) > part * size_bytes, process=process, every_s=0.0005
        )
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert [path for path in (scene.site / ".incoming").iterdir() if path.stat().st_size]
    assert scene.served() == FIRST
    scene.check_the_next_publish()


def copied_bytes(site: Path) -> int:
    try:
        return sum(path.stat().st_size for path in (site / ".incoming").iterdir())
    except FileNotFoundError:
        return 0
