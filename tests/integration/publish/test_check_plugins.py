"""`publish` looks at plugins: what they bring over a root, what they may not bring, and what they hide of another."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.support.releases.release_bench import BOOTS, REFUSED, Bench

pytestmark = pytest.mark.needs("mksquashfs", "unsquashfs")


@pytest.mark.parametrize("name", ["10-init.squashfs", "10-init.tar.gz"])
def test_an_init_that_a_plugin_brings_counts(bench: Bench, name: str) -> None:
    folder = bench.plugin(name) / ("sbin" if name.endswith("gz") else "usr/sbin")
    folder.mkdir(parents=True)
    (bench.root / "usr/sbin/init").rename(folder / "init")
    assert bench.check()[0] == BOOTS


@pytest.mark.root
def test_an_init_that_a_plugin_takes_away_is_missed(bench: Bench) -> None:
    (bench.plugin("10-less.squashfs") / "usr/sbin").mkdir(parents=True)
    os.mknod(bench.plugin("10-less.squashfs") / "usr/sbin/init", 0o020644, 0)
    status, refused, _ = bench.check()
    assert (status, "has no init" in refused) == (REFUSED, True)


@pytest.mark.parametrize("name", ["lib", "bin", "sbin", "lib64"])
def test_a_squashfs_plugin_with_a_folder_over_a_merged_link_is_refused(bench: Bench, name: str) -> None:
    (bench.plugin("20-nic.squashfs") / name / "modules").mkdir(parents=True)
    status, refused, _ = bench.check()
    assert status == REFUSED
    assert f"plugins/20-nic.squashfs brings /{name} as a folder, where the root has a link to usr/{name}" in refused


def test_a_tar_plugin_with_a_folder_over_a_merged_link_is_laid_down_behind_it(bench: Bench) -> None:
    (bench.plugin("20-nic.tar.gz") / "lib/modules").mkdir(parents=True)
    assert bench.check() == (BOOTS, "", "")


@pytest.mark.parametrize(("name", "expected"), [("10.squashfs", BOOTS), ("10.tar.gz", REFUSED)])
def test_a_link_where_the_root_has_a_folder_is_told_of(bench: Bench, name: str, expected: int) -> None:
    (bench.plugin(name) / "var").symlink_to("run/x")
    status, refused, noted = bench.check()
    assert status == expected
    assert "/var" in (noted if status == BOOTS else refused)


@pytest.mark.parametrize("name", ["10.squashfs", "10.tar.gz"])
def test_setuid_files_of_plugins_are_refused_unless_they_are_allowed(bench: Bench, name: str) -> None:
    program = bench.plugin(name) / "usr/bin/su"
    program.parent.mkdir(parents=True)
    program.write_bytes(b"x")
    program.chmod(0o4755)
    status, refused, _ = bench.check()
    assert (status, "usr/bin/su (setuid)" in refused) == (REFUSED, True)
    bench.file("release.toml", 'allow = ["setuid"]')
    assert bench.check()[0] == BOOTS


@pytest.mark.root
@pytest.mark.parametrize("name", ["10.squashfs", "10.tar.gz"])
def test_devices_of_plugins_are_refused_unless_they_are_allowed(bench: Bench, name: str) -> None:
    bench.plugin(name).joinpath("dev").mkdir()
    os.mknod(bench.plugin(name) / "dev/null", 0o020666, os.makedev(1, 3))
    status, refused, _ = bench.check()
    assert (status, "dev/null (devices)" in refused) == (REFUSED, True)
    bench.file("release.toml", 'allow = ["devices"]')
    assert bench.check()[0] == BOOTS


def test_whiteouts_by_name_are_noted(bench: Bench) -> None:
    (bench.plugin("10.tar.gz") / "etc").mkdir()
    (bench.plugin("10.tar.gz") / "etc/.wh.motd").touch()
    status, _, noted = bench.check()
    assert (status, "etc/.wh.motd" in noted) == (BOOTS, True)


def test_a_plugin_whose_paths_climb_is_refused(bench: Bench) -> None:
    bench.pack()
    (bench.folder / "x").write_text("x")
    archive = bench.release / "plugins/10.tar.gz"
    command = ("tar", "-C", bench.folder / "root", "-P", "-czf", archive, "../x")
    subprocess.run(command, check=True, timeout=60)
    done = bench.publish("--check")
    assert done.status == REFUSED
    assert "plugins/10.tar.gz holds a name that leads out of it" in done.err


@pytest.mark.parametrize("ending", ["squashfs", "tar.gz"])
def test_two_linkers_caches_are_noted(bench: Bench, ending: str) -> None:
    for name in (f"10.{ending}", f"20.{ending}"):
        (bench.plugin(name) / "etc").mkdir()
        (bench.plugin(name) / "etc/ld.so.cache").write_bytes(b"cache")
        assert (bench.check()[2] != "") == (name[0] == "2")
    assert "/etc/ld.so.cache in plugins/10" in bench.check()[2]
    shutil.copy(bench.root / "usr/lib/systemd/systemd", bench.root / "usr/sbin/ldconfig")
    assert bench.check()[2] == ""
