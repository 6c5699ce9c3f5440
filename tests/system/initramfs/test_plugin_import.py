"""Plugins from elsewhere taken over, and put on a root as a node does."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.commands import run_program
from tests.system.initramfs.assembling import assemble

pytestmark = [pytest.mark.root, pytest.mark.needs("mksquashfs", "unsquashfs", "unshare")]

STATUS = "Package: base\nArchitecture: all\nStatus: install ok installed\n\n"
ADDED = "Package: miner\nArchitecture: amd64\nStatus: install ok installed\n"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Return a release with a merged root, whose image lies where the driver looks for one."""
    root = tmp_path / "tree"
    files = {
        "etc/motd": "hello",
        "srv/old/f": "x",
        "srv/old/deep/g": "x",
        "srv/kept": "x",
        "var/lib/dpkg/status": STATUS,
    }
    for name, text in {**files, "usr/lib/a": "x", "root/x": "x"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "root").chmod(0o700)
    (root / "lib").symlink_to("usr/lib")
    folder = tmp_path / "images"
    folder.mkdir()
    command = ("mksquashfs", root, folder / "rootfs.squashfs", "-quiet", "-no-progress", "-noappend", "-all-root")
    subprocess.run(command, check=True, capture_output=True)
    return folder


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **more: object
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode, info.mtime = kind, len(data), 0o755 if kind == tarfile.DIRTYPE else 0o644, 1000
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def pack(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


def test_a_plugin_of_coinboots_is_a_layer_of_the_release(tmp_path: Path, release: Path) -> None:
    source = pack(
        tmp_path / "coinboot_miner_v1.tar.gz",
        member("/usr/local/bin/miner", b"one", mode=0o755),
        member("/root/conf", b"c"),
        member("/lib/miner.so", b"s"),
        member("/lib/linked.so", kind=tarfile.LNKTYPE, linkname="/lib/miner.so"),
        member("/usr/local/bin/miner", b"second", mode=0o755),
        member("/etc/machine-id", b"id"),
        member("/tmp/dpkg_status", ADDED.encode()),
    )
    done = run_program("plugin", "import", source, "--against", release, "--json")
    assert done.status == 0, done.err
    assert done.value["left_out"] == {"machine ids": 1}
    assert done.value["notes"] == ["/tmp/dpkg_status is merged into the root's /var/lib/dpkg/status"]
    plugin = release / "plugins/coinboot_miner_v1.squashfs"
    os.link(plugin, release / plugin.name)
    look = "cat usr/local/bin/miner lib/miner.so lib/linked.so root/conf var/lib/dpkg/status; stat -c %a root; ls tmp"
    there = assemble(tmp_path, release / plugin.name, look=look)
    assert there.startswith(f"secondssc{STATUS}{ADDED}\n700\n"), there


def test_without_a_release_it_is_a_tar_and_what_needs_one_is_said(tmp_path: Path, release: Path) -> None:
    source = pack(
        tmp_path / "p.tar.gz", member("/etc/.wh.motd"), member("/etc/new", b"n"), member("/tmp/dpkg_status", b"x")
    )
    done = run_program("plugin", "import", source, "--output", release / "1.tar.gz")
    assert done.status == 0, done.err
    assert "note: /tmp/dpkg_status is left out" in done.out
    assert assemble(tmp_path, release / "1.tar.gz", look="echo etc/*").splitlines()[-1] == "etc/new"
    done = run_program("plugin", "import", source, "--output", release / "1.squashfs")
    assert done.status == 42
    assert "expected --against RELEASE" in done.line


@pytest.mark.parametrize("form", ["tar of a container", "tar of an overlay", "upper folder", "squashfs"])
def test_a_folder_that_was_replaced_takes_away_what_the_root_has_in_it(
    tmp_path: Path, release: Path, form: str
) -> None:
    new = member("srv/old/n", b"n")
    upper = tmp_path / "upper"
    (upper / "srv/old").mkdir(parents=True)
    (upper / "srv/old/n").write_text("n")
    os.setxattr(upper / "srv/old", "user.overlay.opaque", b"y")
    os.mknod(upper / "srv/kept", 0o020000, 0)
    gone = member("srv/kept", kind=tarfile.CHRTYPE)
    opaque = {"SCHILY.xattr.user.overlay.opaque": "y"}
    if form == "tar of a container":
        source = pack(tmp_path / "p.tar.gz", member("srv/old/.wh..wh..opq"), new, member("srv/.wh.kept"))
    elif form == "tar of an overlay":
        source = pack(tmp_path / "p.tar.gz", member("srv/old", kind=tarfile.DIRTYPE, pax_headers=opaque), new, gone)
    elif form == "squashfs":
        source = tmp_path / "p.squashfs"
        subprocess.run(("mksquashfs", upper, source, "-quiet", "-no-progress"), check=True, capture_output=True)
    else:
        source = upper
    done = run_program("plugin", "import", source, "--output", release / "1.tar.gz")
    assert done.status == 50
    assert "replaces the folder /srv/old, which takes away what the root has in it" in done.line
    for output in ("1.squashfs", "1.tar.gz"):
        done = run_program(
            "plugin", "import", source, "--against", release / "rootfs.squashfs", "--output", release / output
        )
        assert done.status == 0, done.err
        assert assemble(tmp_path, release / output, look="echo srv/* srv/old/*").splitlines()[-1] == "srv/old srv/old/n"


def test_what_is_only_half_in_a_plugin_is_refused(tmp_path: Path, release: Path) -> None:
    moved = {"SCHILY.xattr.user.overlay.redirect": "/srv/old"}
    for words, *members in (
        ("user.overlay.redirect", member("srv/new", kind=tarfile.DIRTYPE, pax_headers=moved)),
        ("which it does not bring", member("etc/x", kind=tarfile.LNKTYPE, linkname="tmp/y")),
        ("leads out of it", member("../x", b"x")),
        ("holds nothing that a node would get", member("/tmp/x", b"x")),
    ):
        source = pack(tmp_path / "p.tar.gz", *members)
        done = run_program("plugin", "import", source, "--against", release, "--output", tmp_path / "out.squashfs")
        assert done.status in (50, 53), words
        assert words in done.line
        assert not (tmp_path / "out.squashfs").exists()


def test_a_file_that_is_no_archive_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(b"no archive")
    (tmp_path / "x.txt").write_bytes(b"text")
    assert run_program("plugin", "import", tmp_path / "x.tar.gz", "--output", tmp_path / "o.tar.gz").status == 50
    done = run_program("plugin", "import", tmp_path / "x.txt", "--output", tmp_path / "o.tar.gz")
    assert (done.status, "is no plugin" in done.line) == (52, True)
