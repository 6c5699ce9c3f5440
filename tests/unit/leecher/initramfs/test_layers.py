"""What is looked for in the squashfs plugins of a root, mounted or here as plain folders."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from leecher.boot.hand_off import HandOff, Image
from leecher.initramfs.root import check_layers, layer_entries, unpack
from swarmboot.errors import ReleaseError

needs_root = pytest.mark.root


def hand_off(*allow: str) -> HandOff:
    names = ("plain.squashfs", "special.squashfs")
    plugins = [Image("plugin", "squashfs", name) for name in names]
    images = (
        Image("root", "squashfs", "rootfs.squashfs"),
        plugins[0],
        Image("plugin", "tar.gz", "x.tar.gz"),
        plugins[1],
    )
    return HandOff("/run/swarmboot/images", images, {}, allow, "50%", is_seeding=True)


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    for number in (0, 1, 2):
        (tmp_path / str(number) / "usr/bin").mkdir(parents=True)
        (tmp_path / str(number) / "usr/bin/tool").write_text("#!/bin/sh\n")
    (tmp_path / "0/usr/bin/su").write_text("the root may\n")
    (tmp_path / "0/usr/bin/su").chmod(0o4755)
    (tmp_path / "2/usr/bin/link").symlink_to("/dev/sda")
    return tmp_path


def test_plain_plugins_pass(layers: Path) -> None:
    check_layers(hand_off(), layers)


def test_a_setuid_program_in_a_layer_needs_the_releases_leave(layers: Path) -> None:
    (layers / "2/usr/bin/tool").chmod(0o4755)
    with pytest.raises(ReleaseError, match=r"special\.squashfs brings usr/bin/tool, .*found file, mode 4755") as raised:
        check_layers(hand_off("devices"), layers)
    assert 'allow = ["setuid"]' in str(raised.value)
    check_layers(hand_off("setuid"), layers)


@needs_root
def test_a_device_in_a_layer_needs_leave_and_a_whiteout_none(layers: Path) -> None:
    os.mknod(layers / "1/gone", stat.S_IFCHR, os.makedev(0, 0))
    check_layers(hand_off(), layers)
    os.mknod(layers / "1/mem", stat.S_IFCHR | 0o600, os.makedev(1, 1))
    with pytest.raises(ReleaseError, match=r"plain\.squashfs brings mem, .*found character"):
        check_layers(hand_off("setuid"), layers)
    check_layers(hand_off("devices"), layers)


def dig(folder: Path, *, name: str, count: int) -> int:
    """Make so many folders in one another, however long their path gets, and return the innermost, open."""
    inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(count):
        os.mkdir(name, dir_fd=inner)
        outer, inner = inner, os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=inner)
        os.close(outer)
    return inner


@pytest.mark.parametrize(("name", "count"), [("a" * 255, 17), ("a", 1200)])
def test_a_layer_that_cannot_be_searched_to_its_end_is_refused(layers: Path, name: str, count: int) -> None:
    inner = dig(layers / "2", name=name, count=count)
    descriptor = os.open("tool", os.O_WRONLY | os.O_CREAT, dir_fd=inner)
    os.fchmod(descriptor, 0o4755)
    os.close(descriptor)
    os.close(inner)
    try:
        with pytest.raises(ReleaseError, match=r"special\.squashfs cannot be searched"):
            check_layers(hand_off(), layers)
    finally:
        subprocess.run(("rm", "-rf", layers / "2"), check=True)


@needs_root
def test_folders_beyond_what_can_be_taken_away_are_a_refusal(tmp_path: Path) -> None:
    os.close(dig(tmp_path, name="deep", count=1200))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        whiteout = tarfile.TarInfo(str(tmp_path / "deep"))
        whiteout.type = tarfile.CHRTYPE
        tar.addfile(whiteout)
    archive.seek(0)
    try:
        with pytest.raises(ReleaseError, match="too many folders"):
            unpack(Image("plugin", "tar.gz", "x.tar.gz"), archive, allow=())
    finally:
        subprocess.run(("rm", "-rf", tmp_path / "deep"), check=True)


@needs_root
def test_a_file_capability_in_a_layer_is_seen(layers: Path) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw+ep, capabilities(7)
    os.setxattr(layers / "1/usr/bin/tool", "security.capability", capability)
    (entry,) = [each for each in layer_entries(layers / "1") if each.has_capability]
    assert entry.name == "usr/bin/tool"
