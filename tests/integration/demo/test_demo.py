"""The demo, as `make demo` runs it, with a small release: real seeder, real leechers, nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.support.waiting import wait_until

PROGRAM = (sys.executable, "-m", "netsim.demo")
NODES = 3
PLACES = [Path("/dev/shm"), Path("/tmp"), Path("/var/tmp")]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Return a release whose images end within a piece, as real ones do."""
    folder = tmp_path / "release"
    (folder / "plugins").mkdir(parents=True)
    random = Random(7)
    (folder / "rootfs.squashfs").write_bytes(b"hsqs" + random.randbytes(3_000_001))
    (folder / "plugins" / "10-driver.squashfs").write_bytes(b"hsqs" + random.randbytes(70_000))
    return folder


def left_behind() -> set[Path]:
    return {path for place in PLACES for path in place.glob("swarmboot-demo-*")}


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    """Return whether a process runs: one that has ended but waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_every_node_has_the_published_images_and_the_server_sent_about_one_copy(release: Path) -> None:
    before = left_behind()
    command = (*PROGRAM, "--release", str(release), "--nodes", str(NODES), "--uplink", "40mbit", "--json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verified_nodes"] == found["nodes"] == NODES
    assert found["size_bytes"] == 3_070_009
    assert found["hash_failures"] == 0
    assert 0.9 < found["server_copies"] < 2.0
    assert found["first_s"] <= found["median_s"] <= found["last_s"]
    assert "3 of 3 complete" in done.stderr
    assert left_behind() <= before


def test_a_release_without_a_root_image_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(b"kernel")
    command = (*PROGRAM, "--release", str(tmp_path), "--nodes", "1")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "no root image" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_is_stopped_its_programs_end(release: Path, number: signal.Signals) -> None:
    before = left_behind()
    command = (*PROGRAM, "--release", str(release), "--nodes", str(NODES), "--uplink", "1mbit")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as demo:

        def all_programs() -> list[int] | None:
            found = children_of(demo.pid)
            return found if len(found) == NODES + 1 else None

        programs = wait_until("a seeder and its nodes", all_programs, process=demo)
        demo.send_signal(number)
        demo.wait(30)
    wait_until("an end of every program", lambda: not any(map(is_running, programs)))
    if number == signal.SIGKILL:
        for path in left_behind() - before:
            subprocess.run(("rm", "-r", str(path)), check=True)
        return
    assert demo.returncode == 128 + number
    assert left_behind() <= before


def test_a_place_without_room_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with (tmp_path / "rootfs.squashfs").open("wb") as sparse:
        sparse.truncate(4 << 40)
    done = subprocess.run(
        (*PROGRAM, "--release", str(tmp_path)), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 61
    assert "no room for a rack of 8" in done.stderr
    assert done.stderr.count("\n") == 1
