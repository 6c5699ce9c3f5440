"""The neighbour in a booted system: how little memory it takes, and that whom it believes is checked all the same."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.loopback import Fleet, Seeder, build_fleet, build_release, program, serving
from tests.support.seed import NEEDS, NodePython, lay_out, memory_bytes, node_python, seeding
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs(*NEEDS)

OWN_MAX_BYTES = 20_500_000
"""Measured 20.1 MB with Debian 12's own files, and 19.3 of a runtime image, which lacks some (docs/performance.md)."""


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """Yield a folder that nobody may read too: the neighbour gives up root."""
    with tempfile.TemporaryDirectory(prefix="swarmboot-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def python(open_folder: Path) -> NodePython:
    return node_python(open_folder / "compiled")


@pytest.fixture(scope="module")
def fleet(open_folder: Path) -> Fleet:
    return build_fleet(open_folder / "fleet", build_release(open_folder / "release", size_bytes=3_000_000))


@pytest.fixture(scope="module")
def seeder(fleet: Fleet) -> Iterator[Seeder]:
    with serving(fleet) as seeder:
        yield seeder


def test_a_neighbour_with_all_images_takes_little_memory_of_its_own(
    open_folder: Path, python: NodePython, fleet: Fleet, seeder: Seeder
) -> None:
    state = open_folder / "state"
    lay_out(state, fleet, seeder, open_folder / "release", bind="127.0.0.2")
    with seeding(state, python) as seed:
        seed.wait_until_whole()
        seeder.wait_for_line("booted")
        wait_until("the end of what checks signatures", lambda: not seed.children, process=seed.process)
        mapped = Path(f"/proc/{seed.process.pid}/maps").read_text()
        assert "libtorrent" in mapped
        assert "cryptography" not in mapped  # its process had that, and has ended
        own = partial(memory_bytes, seed.process.pid, "RssAnon")
        wait_until("little memory", lambda: own() <= OWN_MAX_BYTES, within_s=20, process=seed.process, seen=own)
    assert seed.end() == 0


def test_a_neighbour_believes_no_release_that_another_fleet_has_signed(
    open_folder: Path, python: NodePython, fleet: Fleet, seeder: Seeder
) -> None:
    state, other = open_folder / "wrong", open_folder / "other"
    done = program("swarmboot", "keygen", "--out", other)
    assert done.returncode == 0, done.stderr
    lay_out(state, fleet, seeder, open_folder / "release", bind="127.0.0.3")
    shutil.copyfile(other / "swarmboot.pub", state / "etc" / "trust.pub")
    with seeding(state, python) as seed:
        assert 10 <= seed.end() < 20
    assert "not signed by enough trusted keys" in "".join(seed.lines)
