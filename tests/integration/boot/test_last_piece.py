"""A file that ends within a piece: libtorrents differ on its last piece (findings/libtorrent-last-piece.sh)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from swarmboot.errors import ResourceError
from tests.support.loopback import asking, booting, build_fleet, build_release, serving
from tests.support.tree import TREE


@pytest.mark.parametrize(
    "interpreter",
    [sys.executable, pytest.param("/usr/bin/python3", marks=pytest.mark.needs("/usr/share/doc/python3-libtorrent"))],
)
def test_a_last_piece_that_ends_early_is_taken(interpreter: str) -> None:
    code = "from leecher.initramfs.selftest import check_last_piece; check_last_piece()"
    path = f"import sys; sys.path.insert(0, {str(TREE)!r})\n"
    done = subprocess.run([interpreter, "-W", "ignore", "-c", path + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_libtorrent_that_drops_what_is_handed_in_ends_the_boot_in_one_line(tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "sitecustomize.py").write_text(
        "import libtorrent\nlibtorrent.torrent_handle.add_piece = lambda *arguments: None\n"
    )
    fleet = build_fleet(tmp_path, build_release(tmp_path / "release", size_bytes=20_000, plugins=0))
    python = ["env", f"PYTHONPATH={odd}:{TREE}", sys.executable]
    with serving(fleet) as seeder, booting(tmp_path, 1, *asking(seeder, fleet), python=python) as node:
        status, said = node.end()
    assert status == ResourceError.exit_status
    assert "libtorrent takes piece" in said.splitlines()[-1]
