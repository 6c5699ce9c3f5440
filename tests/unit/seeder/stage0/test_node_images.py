"""The images of machines' own files: read seldom, in memory once each, and not without end."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.stage0 import node_images
from seeder.stage0.node_images import NodeImages

MACS = [f"52:54:00:00:00:{number:02x}" for number in range(20)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for mac in MACS:
        own = tmp_path / mac.replace(":", "-")
        own.mkdir()
        (own / "x").write_bytes(mac.encode() * 100)
    (tmp_path / "default").mkdir()
    (tmp_path / "default/y").write_bytes(b"of all")
    return tmp_path


def test_machines_without_files_of_their_own_share_one_image(folder: Path) -> None:
    images = NodeImages(folder)
    assert images.image("02:00:00:00:00:01", now_s=0.0) is images.image("02:00:00:00:00:02", now_s=0.5)
    assert images.image(MACS[0], now_s=0.0).data != images.image(MACS[1], now_s=0.0).data


def test_files_that_change_are_read_again_a_second_later(folder: Path) -> None:
    images = NodeImages(folder)
    before = images.image(MACS[0], now_s=0.0)
    (folder / MACS[0].replace(":", "-") / "x").write_bytes(b"new")
    assert images.image(MACS[0], now_s=0.9) is before
    assert b"new" in images.image(MACS[0], now_s=1.1).data


def test_images_that_are_being_sent_have_a_bound_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = NodeImages(folder)
    one = images.image(MACS[0], now_s=0.0)
    monkeypatch.setattr(node_images, "ROOM_BYTES", 3 * len(one.data))
    held = [images.image(mac, now_s=0.0) for mac in MACS]
    assert [images.begin(each) for each in held].count(True) == 3
    assert images.begin(held[0])  # what is in memory already may be sent to any number
    for _ in range(2):
        images.end(held[0])
    assert images.begin(held[10])


def test_nobody_has_files_where_there_is_no_folder_and_no_address(folder: Path) -> None:
    assert NodeImages(None).image(MACS[0], now_s=0.0).data == b""
    assert NodeImages(folder).image("", now_s=0.0).data == b""
