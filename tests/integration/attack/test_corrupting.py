"""A node beside a neighbour whose images rot: it gets nothing more from it, whoever dials whom."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.loopback import asking, booting, build_fleet, build_release, serving
from tests.support.relay import throttled
from tests.support.tree import TREE

SIZE_BYTES = 12_000_000
LINK = ("--up", "4mbit")
"""How fast the neighbour sends: over a loopback a busy machine has a megabyte before it verifies the first piece."""
_EVERY_BYTES = 1 << 16


def corrupt(image: Path) -> None:
    """Change a byte in every block of an image."""
    with image.open("r+b") as file:
        for position in range(0, image.stat().st_size, _EVERY_BYTES):
            file.seek(position)
            byte = file.read(1)
            file.seek(position)
            file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize(
    "interpreter",
    [sys.executable, pytest.param("/usr/bin/python3", marks=pytest.mark.needs("/usr/share/doc/python3-libtorrent"))],
)
def test_who_has_sent_corrupt_blocks_sends_no_more_and_no_origin_is_blamed(tmp_path: Path, interpreter: str) -> None:
    fleet = build_fleet(tmp_path / "fleet", build_release(tmp_path / "release", size_bytes=SIZE_BYTES, plugins=1))
    with serving(fleet) as near, booting(tmp_path, 1, *asking(near, fleet), "--linger", *LINK) as liar:
        liar.report()
        corrupt(liar.into / "rootfs.squashfs")
        python = ["env", f"PYTHONPATH={TREE}", interpreter]
        with throttled(near, 2e6) as slow, booting(tmp_path, 2, *asking(slow, fleet), python=python) as node:
            status, said = node.end()
    assert status == 0, said
    assert "sent corrupt blocks and is not asked again" in said
    assert node.digests() == fleet.digests(tmp_path / "release")
    assert node.report()["bytes_from"]["neighbours"] < SIZE_BYTES / 24
