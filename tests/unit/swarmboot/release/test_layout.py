"""Where things are in a site, and what is no site."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmboot.errors import MalformedSettingError, SiteError
from swarmboot.ids import Digest, InfoHash, Sequence
from swarmboot.release import layout


def test_paths_are_the_same_on_disk_and_under_an_address() -> None:
    assert layout.blob_path(Digest(bytes([171] * 32))) == "blobs/" + "ab" * 32
    assert layout.torrent_path(InfoHash(bytes(32))) == f"torrents/{'00' * 32}.torrent"
    assert layout.manifest_path(Sequence(12)) == "manifests/12.swarm"
    assert layout.channel_path("stable") == "channels/stable.swarm"
    assert layout.keys_path(2) == "keys/2.swarm"


@pytest.mark.parametrize("name", ["stable", "edge-2", "a.b_c", "0"])
def test_a_plain_word_is_a_channel_name(name: str) -> None:
    assert layout.check_channel_name(name) == name


@pytest.mark.parametrize("name", ["", "Stable", "../x", "a/b", ".x", "-x", "a b", "stable\n", "a" * 65, "ä"])
def test_anything_else_is_not(name: str) -> None:
    with pytest.raises(MalformedSettingError):
        layout.check_channel_name(name)


def test_manifests_and_rotations_are_listed_by_number_and_strangers_left_out(tmp_path: Path) -> None:
    for name in (
        "manifests/2.swarm",
        "manifests/10.swarm",
        "manifests/x.swarm",
        "manifests/3.tmp",
        "manifests/².swarm",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "keys").mkdir()
    for version in (10, 9, 2):
        (tmp_path / "keys" / f"{version}.swarm").write_bytes(b"%d" % version)
    assert layout.manifest_numbers(tmp_path) == [2, 10]
    assert layout.rotations(tmp_path) == [b"2", b"9", b"10"]


def test_a_folder_without_a_release_is_no_site(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="found a directory without them"):
        layout.check_site(tmp_path)
    with pytest.raises(SiteError, match="found no such directory"):
        layout.check_site(tmp_path / "none")


def test_a_manifest_without_a_channel_is_no_site_yet(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "1.swarm").touch()
    with pytest.raises(SiteError):
        layout.check_site(tmp_path)
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels" / "stable.swarm").touch()
    assert layout.check_site(tmp_path) == tmp_path
