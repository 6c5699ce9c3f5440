"""Where secret settings come to lie in a new root: the real step, in a root of plain folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from leecher.boot.hand_off import HandOff, write, write_secret

pytestmark = pytest.mark.root
_STEP = """
import sys
from pathlib import Path
from leecher.initramfs import root
root.HAND_OFF = Path(sys.argv[1])
root.run("plugins", Path(sys.argv[2]), tell=print)
"""


@pytest.fixture
def hand_off(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    folder = tmp_path / "handover"
    write(HandOff(str(tmp_path / "images"), (), {"A": "b"}, (), "50%", is_seeding=False), folder)
    write_secret(folder / "secret.env", "PASSWORD=x\n")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    return tmp_path / "root"


def take_step(hand_off: Path, root: Path) -> None:
    subprocess.run((sys.executable, "-c", _STEP, str(hand_off), str(root)), check=True, timeout=30)


def test_secrets_are_for_root_alone_and_apart_from_the_environment(hand_off: Path, root: Path) -> None:
    take_step(hand_off, root)
    path = root / "etc/swarmboot/secret.env"
    assert path.read_text() == "PASSWORD=x\n"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert (root / "etc/environment").read_text() == "A=b\n"


def test_a_pipe_in_the_place_of_the_environment_is_not_waited_for(hand_off: Path, root: Path) -> None:
    os.mkfifo(root / "etc/environment")
    take_step(hand_off, root)
    assert (root / "etc/environment").read_text() == "A=b\n"


def test_a_link_in_the_image_leads_secrets_nowhere_else(hand_off: Path, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "etc/swarmboot").mkdir()
    (root / "etc/swarmboot/secret.env").symlink_to(outside / "taken")
    take_step(hand_off, root)
    assert list(outside.iterdir()) == []
    assert (root / "etc/swarmboot/secret.env").read_text() == "PASSWORD=x\n"
    (root / "etc/swarmboot/secret.env").unlink()
    (root / "etc/swarmboot").rmdir()
    (root / "etc/swarmboot").symlink_to(outside)
    (root / str(outside).lstrip("/")).mkdir(parents=True)
    take_step(hand_off, root)
    assert list(outside.iterdir()) == []
    assert (root / str(outside).lstrip("/") / "secret.env").exists()
