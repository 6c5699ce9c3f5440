"""Plugins put on a root for real: by the driver and the leecher's own step, squashfs, overlay and chroot included."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.system.initramfs import assembling
from tests.system.initramfs.assembling import assemble

pytestmark = [pytest.mark.root, pytest.mark.needs("mksquashfs", "unshare", "zstd")]


def squash(tree: Path, image: Path) -> Path:
    image.parent.mkdir(exist_ok=True)
    subprocess.run(("mksquashfs", str(tree), str(image), "-quiet", "-no-progress", "-noappend"), check=True)
    return image


def tree(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root image with a folder of its own, and the tree that it was made of."""
    files = {"etc/motd": "hello", "etc/hosts": "x", "srv/old/deep/file": "x", "srv/kept": "x", "var/lib/state": "x"}
    made = tree(tmp_path / "tree", **files)
    squash(made, tmp_path / "images/rootfs.squashfs")
    return made


def member(name: str, kind: bytes, *, target: str = "", device: tuple[int, int] = (0, 0)) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, (found.devmajor, found.devminor) = kind, target, device
    return found


def pack(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for each in members:
            tar.addfile(each, io.BytesIO())
    return path


def test_a_whiteout_in_a_tar_plugin_takes_its_name_away(tmp_path: Path, root: Path) -> None:
    names = ("etc/motd", "srv/old", "nowhere/at/all", "etc/hosts/below-a-file")
    members = [member(name, tarfile.CHRTYPE) for name in names]
    plugin = pack(tmp_path / "images/10.tar.gz", *members, member("etc/new", tarfile.REGTYPE))
    said = assemble(tmp_path, plugin, look="echo etc/* srv/*")
    assert said.splitlines()[-1] == "etc/hosts etc/new srv/kept", said


def test_a_device_in_a_tar_plugin_still_needs_leave(tmp_path: Path, root: Path) -> None:
    plugin = pack(tmp_path / "images/10.tar.gz", member("mem", tarfile.CHRTYPE, device=(1, 1)))
    said = assemble(tmp_path, plugin, look="echo whole")
    assert "to the seeder: 10.tar.gz brings mem, which the release does not allow" in said
    assert "whole" not in said


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("var", tarfile.SYMTYPE, "10.tar.gz brings 'var' as a link, which cannot be made: found a folder of that name"),
        ("var", tarfile.REGTYPE, "10.tar.gz brings 'var' as a file, which cannot be made: found a folder of that name"),
        ("etc/motd/x", tarfile.REGTYPE, "brings 'etc/motd/x' as a file, which cannot be made: found /etc/motd in the"),
    ],
)
def test_a_plugin_that_does_not_fit_the_root_is_told_why_to_the_seeder_too(
    tmp_path: Path, root: Path, name: str, kind: bytes, expected: str
) -> None:
    plugin = pack(tmp_path / "images/10.tar.gz", member(name, kind, target="run/x"))
    said = assemble(tmp_path, plugin, look="echo whole")
    told = next(line for line in said.splitlines() if line.startswith("to the seeder"))
    assert expected in told
    assert "give the node more" not in said
    assert f"swarmboot: {told.removeprefix('to the seeder: ')}" in said


def test_a_squashfs_with_a_file_of_two_names_and_without_attributes_is_a_plugin(tmp_path: Path, root: Path) -> None:
    made = tree(tmp_path / "p", **{"etc/new": "x"})
    (made / "etc/new-too").hardlink_to(made / "etc/new")
    said = assemble(tmp_path, squash(made, tmp_path / "images/0.squashfs"), look="echo etc/*")
    assert said.splitlines()[-1] == "etc/hosts etc/motd etc/new etc/new-too", said


def test_an_archive_for_which_there_is_no_room_is_told_with_what_to_do(tmp_path: Path, root: Path) -> None:
    big = tree(tmp_path / "big", file="x" * (1 << 18))
    plugin = tmp_path / "images/10.tar.gz"
    subprocess.run(("tar", "-C", str(big), "-czf", str(plugin), "."), check=True)
    said = assemble(tmp_path, plugin, look="echo whole", overlay="100k")
    assert "to the seeder: there is no room for 'file' of 10.tar.gz" in said
    assert "raise swarmboot.overlay" in said


def library(name: str) -> Path:
    """Return one of this machine's libraries."""
    listed = subprocess.run(("ldconfig", "-p"), capture_output=True, text=True, check=True).stdout
    found = re.search(rf"^\s*{re.escape(name)}\S* .* => (\S+)$", listed, re.MULTILINE)
    assert found is not None
    return Path(found[1])


def plugin_with_library(folder: Path, name: str, *, root: Path) -> Path:
    """Return the tree of a plugin as Coinboot makes them: a library below /opt, where to look for it, and a cache."""
    here = tree(folder / name, **{f"etc/ld.so.conf.d/{name}.conf": f"/opt/{name}\n"})
    (here / "opt" / name).mkdir(parents=True)
    shutil.copy(library(name), here / "opt" / name)
    together = folder / f"{name}-on-root"
    shutil.copytree(root, together, symlinks=True)
    shutil.copytree(here, together, dirs_exist_ok=True)
    subprocess.run(("ldconfig", "-r", str(together)), check=True)
    shutil.copy(together / "etc/ld.so.cache", here / "etc/ld.so.cache")
    return here


@pytest.mark.parametrize("kind", ["squashfs", "tar"])
@pytest.mark.needs("/sbin/ldconfig")
def test_two_plugins_with_libraries_and_caches_of_their_own_are_both_found(
    tmp_path: Path, root: Path, kind: str
) -> None:
    (root / "usr/sbin").mkdir(parents=True)
    (root / "sbin").symlink_to("usr/sbin")
    shutil.copy("/sbin/ldconfig", root / "usr/sbin/ldconfig")
    tree(root, **{"etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n"})
    squash(root, tmp_path / "images/rootfs.squashfs")
    plugins = []
    for number, name in enumerate(("libz.so.1", "libzstd.so.1")):
        here = plugin_with_library(tmp_path, name, root=root)
        if kind == "squashfs":
            plugins.append(squash(here, tmp_path / f"images/{number}.squashfs"))
        else:
            plugins.append(tmp_path / f"images/{number}.tar.gz")
            subprocess.run(("tar", "-C", str(here), "-czf", str(plugins[-1]), "."), check=True)
    said = assemble(tmp_path, *plugins, look="/sbin/ldconfig -r . -p")
    assert "the root's ld.so.cache is written anew" in said
    assert "=> /opt/libz.so.1/libz.so.1" in said
    assert "=> /opt/libzstd.so.1/libzstd.so.1" in said


def test_a_root_without_ldconfig_needs_none(tmp_path: Path, root: Path) -> None:
    plugin = squash(tree(tmp_path / "p", **{"etc/ld.so.conf.d/a.conf": "/opt/a\n"}), tmp_path / "images/0.squashfs")
    said = assemble(tmp_path, plugin, look="echo whole")
    assert "the root has no /sbin/ldconfig" in said
    assert said.splitlines()[-1] == "whole"


def test_a_runtime_without_zstd_says_so(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = tmp_path / "images/10.tar.zst"
    subprocess.run(("tar", "-C", str(root), "--zstd", "-cf", str(plugin), "etc"), check=True)
    assert assemble(tmp_path, plugin, look="echo whole").splitlines()[-1] == "whole"
    monkeypatch.setattr(assembling, "STEP", f"import os; os.environ['PATH'] = '/nowhere'{assembling.STEP}")
    said = assemble(tmp_path, plugin, look="echo whole")
    assert "to the seeder: this initramfs cannot unpack zstd: found no program zstd in its runtime" in said
