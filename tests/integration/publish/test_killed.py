"""A publish that is killed, at whatever moment, leaves the release before it served, and the next one tidies up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarmboot.release import key_files
from tests.support.builders import build_release
from tests.support.commands import run
from tests.support.waiting import BOUND_S, wait_until

# For each number that it is given it runs the real program in a process of its own, which ends by SIGKILL just before
# the step with that number: a step is any opening, renaming or removing of a file of the site. It says how that ended.
KILLED_AT = """
import os, signal, sys
from seeder.publish import cli, publish, release_dir
from seeder.site import progress, writer
from swarmboot.cli import main
site = sys.argv.pop(1)
steps = 0
def run_until(last):
    def watch(event, arguments):
        global steps
        if event in ("open", "os.rename", "os.remove") and any(str(name).startswith(site) for name in arguments):
            steps += 1
            if steps == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    status = 0
    try:
        main()
    except SystemExit as stop:
        status = stop.code or 0
    print("steps", steps, file=sys.stderr, flush=True)
    os._exit(status)
for number in sys.stdin:
    if not os.fork():
        run_until(int(number))
    print("ended", os.waitstatus_to_exitcode(os.wait()[1]), file=sys.stderr, flush=True)
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


@contextmanager
def killing(scene: Scene) -> Iterator[Callable[[int], tuple[int, int]]]:
    """Give what publishes the second release and is killed at a step: how that ended, and how many steps it took."""
    words = [sys.executable, "-c", KILLED_AT, str(scene.site), *scene.arguments]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        say, hear = process.stdin, process.stderr

        def killed_at(step: int) -> tuple[int, int]:
            say.write(f"{step}\n")
            steps, said = 0, ""
            while not said.startswith("ended "):
                said = hear.readline()
                assert said, f"no answer: exit status {process.wait(BOUND_S)}"
                steps = int(said.split()[1]) if said.startswith("steps ") else steps
            return int(said.split()[1]), steps

        yield killed_at


def test_killed_before_any_step_it_leaves_the_first_release_and_the_next_publish_completes(tmp_path: Path) -> None:
    scene = Scene(tmp_path, size_bytes=100_000)
    outcomes = []
    with killing(scene) as killed_at:
        status, steps = killed_at(0)
        assert status == 0
        assert steps > 10
        for step in range(1, steps + 1):
            scene.restore()
            assert killed_at(step)[0] == -signal.SIGKILL
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
