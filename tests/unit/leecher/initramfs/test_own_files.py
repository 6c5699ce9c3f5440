"""How a node's own files come to lie in its new root: the real step, in a root of plain folders and hostile links."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from leecher.boot.hand_off import HandOff, write
from leecher.initramfs.own_files import hosts_text, write_own_files
from swarmboot.release.node_overlay import NodeFile
from swarmboot.release.node_root import NodeRoot
from tests.unit.leecher.initramfs.test_root_secrets import take_step

FILES = (
    NodeFile("etc/hostname", data=b"web-1\n"),
    NodeFile("etc/localtime", target="/usr/share/zoneinfo/UTC"),
    NodeFile("opt/new/tool", 0o755, b"#!/bin/sh\n"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    return tmp_path / "root"


def handed_off(tmp_path: Path, *files: NodeFile, hostname: str = "") -> Path:
    (tmp_path / "images").mkdir(exist_ok=True)
    folder = tmp_path / "handover"
    own = NodeRoot(files, {"ROLE": "web"}, hostname)
    write(HandOff(str(tmp_path / "images"), (), own.env, (), "50%", is_seeding=False, hostname=hostname), folder)
    write_own_files(own, folder)
    return folder


@pytest.mark.root
def test_files_links_and_programs_are_roots_own_with_their_modes(tmp_path: Path, root: Path) -> None:
    (root / "etc/hostname").write_text("of the image\n")
    (root / "etc/localtime").write_text("of the image\n")
    folder = handed_off(tmp_path, *FILES, hostname="web-1")
    assert (folder / "own-files").stat().st_mode & 0o777 == 0o600
    take_step(folder, root)
    assert (root / "etc/hostname").read_text() == "web-1\n"
    assert (root / "etc/localtime").readlink() == Path("/usr/share/zoneinfo/UTC")
    status = (root / "opt/new/tool").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o755, 0, 0)
    assert (root / "etc/hosts").read_text() == "127.0.0.1 localhost\n127.0.1.1 web-1\n"
    assert (root / "etc/environment").read_text() == "ROLE=web\n"


@pytest.mark.root
def test_no_link_of_the_image_leads_a_file_out_of_the_root(tmp_path: Path, root: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept\n")
    (root / "etc/hostname").symlink_to(outside / "kept")
    (root / "opt").symlink_to(outside)
    (root / str(outside).lstrip("/")).mkdir(parents=True)
    (root / "etc/hosts").symlink_to(outside / "kept")
    take_step(handed_off(tmp_path, *FILES, hostname="web-1"), root)
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept\n"
    assert (root / "etc/hostname").read_text() == "web-1\n"
    assert (root / str(outside).lstrip("/") / "new/tool").exists(), "the root's own link, followed in the root"


@pytest.mark.root
def test_a_file_in_the_place_of_a_folder_ends_the_boot_and_says_which(tmp_path: Path, root: Path) -> None:
    (root / "etc/hostname").mkdir()
    with pytest.raises(subprocess.CalledProcessError):
        take_step(handed_off(tmp_path, *FILES), root)
    step = "from tests.unit.leecher.initramfs.test_root_secrets import _STEP; exec(_STEP)"
    done = subprocess.run(
        (sys.executable, "-c", step, str(tmp_path / "handover"), str(root)), capture_output=True, text=True, timeout=30
    )
    assert "the release's nodes/ brings 'etc/hostname' as a file, which cannot be made" in done.stderr
    assert "a folder of that name in the root" in done.stderr


def test_a_release_without_any_leaves_nothing_of_the_attempt_before(tmp_path: Path) -> None:
    folder = handed_off(tmp_path, *FILES)
    write_own_files(NodeRoot(), folder)
    assert not (folder / "own-files").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "127.0.0.1 localhost\n127.0.1.1 web-1\n"),
        ("127.0.0.1 localhost\n# mine\n", "127.0.0.1 localhost\n# mine\n127.0.1.1 web-1\n"),
        ("127.0.0.1 localhost\n127.0.1.1 builder\n", "127.0.0.1 localhost\n127.0.1.1 web-1\n"),
        ("127.0.0.1 localhost web-1\n", "127.0.0.1 localhost web-1\n"),
        ("10.0.0.5\tweb-1 # here\n", "10.0.0.5\tweb-1 # here\n"),
    ],
)
def test_a_machines_name_leads_to_itself_and_to_nothing_else(old: str, new: str) -> None:
    assert hosts_text(old, "web-1") == new


def test_a_name_with_a_domain_has_its_short_form_beside_it() -> None:
    assert hosts_text("127.0.0.1 localhost\n", "a.example").endswith("127.0.1.1 a.example a\n")
