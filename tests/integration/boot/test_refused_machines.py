"""What a node refuses by what it is: its settings, its room, its ports; nothing is fetched, one line says why."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from swarmboot.errors import (
    MalformedSettingError,
    PortInUseError,
    SpaceError,
    UnknownSettingError,
)
from tests.support.loopback import (
    Fleet,
    asking,
    booting,
    program,
    serving,
    wait_until_arriving,
)
from tests.support.refusals import check_refusal, refused


def test_an_unknown_kernel_argument_is_named(tmp_path: Path) -> None:
    refused(
        tmp_path,
        UnknownSettingError,
        "--cmdline",
        "swarmboot.sever=x",
        words=("swarmboot.sever", "write swarmboot.server"),
    )


def test_a_malformed_setting_is_named_with_an_example(tmp_path: Path) -> None:
    words = ("swarmboot.timeout", "'soon'", "for example")
    refused(tmp_path, MalformedSettingError, "--timeout", "soon", words=words)


def test_a_node_with_nobody_to_ask_says_so(tmp_path: Path, fleet: Fleet) -> None:
    refused(tmp_path, MalformedSettingError, "--trust", fleet.pub, "--discovery", "off", words=("nobody to ask",))


@pytest.mark.parametrize("words", [["--discovery", "off"], ["--no-discovery"], ["--discovery=no"]])
def test_discovery_is_turned_off_either_way_for_people_too(fleet: Fleet, tmp_path: Path, words: list[str]) -> None:
    done = program("swarmboot", "fetch", "--trust", fleet.pub, "--into", tmp_path / "x", *words)
    check_refusal(done.returncode, done.stderr, MalformedSettingError, "nobody to ask")


def test_a_profile_that_is_not_there_is_named(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        words = ("no profile", "'gpu'")
        refused(tmp_path, MalformedSettingError, *asking(seeder, fleet), "--profile", "gpu", words=words)


def test_too_little_room_is_told_before_the_download(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        words = ("1023.0 TiB to spare", "found")
        refused(tmp_path, SpaceError, *asking(seeder, fleet), "--reserve", "1023TiB", words=words)


@pytest.fixture
def small_tmpfs(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "node1"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.root
def test_a_tmpfs_too_small_for_the_images_is_told_before_the_download(
    tmp_path: Path, fleet: Fleet, small_tmpfs: Path
) -> None:
    with serving(fleet) as seeder:
        refused(tmp_path, SpaceError, *asking(seeder, fleet), words=("tmpfs", "too small", "1.0 MiB"))


@pytest.mark.root
def test_a_tmpfs_that_fills_up_during_the_download_ends_the_boot(
    tmp_path: Path, fleet: Fleet, small_tmpfs: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,size=5m", str(small_tmpfs)], check=True)
    with serving(fleet, "--uplink", "1mbit") as seeder, booting(tmp_path, 1, *asking(seeder, fleet)) as node:
        wait_until_arriving(small_tmpfs, node.process)
        with suppress(OSError), (small_tmpfs / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(65536)):
                pass
        status, said = node.end()
        check_refusal(status, said, SpaceError, "written")


def test_a_port_in_use_is_named_by_the_leecher(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder, socket.create_server(("127.0.0.2", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(tmp_path, PortInUseError, *asking(seeder, fleet), "--port", port, words=("cannot listen",))


def test_the_leecher_runs_without_the_seeders_libraries(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import leecher.__main__, sys; print('starlette' in sys.modules, 'rich' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]
