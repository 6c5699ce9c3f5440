"""`publish` looks at plugins: what they bring over a root, what they may not bring, and what they hide of another."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from seeder.squashfs.attributes import attribute_names
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


@pytest.mark.root
@pytest.mark.parametrize(("name", "attribute"), [
    ("40-hand.squashfs", "user.overlay.opaque"),
    ("40-hand.squashfs", "user.fuseoverlayfs.opaque"),
    ("40-hand.squashfs", "user.containers.override_stat"),
    ("40-hand.tar.gz", "user.overlay.opaque"),
    ("40-hand.tar.gz", "trusted.overlay.opaque"),
])  # fmt: skip
def test_a_plugin_that_says_by_attributes_what_it_deletes_is_refused(bench: Bench, name: str, attribute: str) -> None:
    plugin = bench.plugin(name)
    (plugin / "etc").mkdir(parents=True)
    for at, word in ((plugin / "etc", attribute), (plugin, "user.overlay.origin"), (plugin / "etc", "user.other")):
        os.setxattr(at, word, b"y")
    status, refused, _ = bench.check()
    assert status == REFUSED
    assert f"plugins/{name} says by attributes of an overlay what it deletes or replaces" in refused
    assert f" {attribute} take it over by `swarmboot plugin import`" in refused


@pytest.mark.root
def test_a_squashfs_plugin_may_have_attributes_of_an_overlay_that_root_mounted(bench: Bench) -> None:
    plugin = bench.plugin("40-hand.squashfs")
    (plugin / "etc").mkdir(parents=True)
    for word in ("trusted.overlay.opaque", "user.mime_type", "user.overlay.impure"):
        os.setxattr(plugin / "etc", word, b"y" * 300)
    assert bench.check() == (BOOTS, "", "")


@pytest.mark.root
@pytest.mark.parametrize("options", ["-comp zstd", "-comp xz", "-comp lz4", "-comp gzip", "-noX", "-comp zstd -noX"])
def test_names_of_attributes_are_read_from_a_squashfs_however_it_is_packed(tmp_path: Path, options: str) -> None:
    names = {f"user.n{number}" for number in range(400)} | {"trusted.t", "security.s"}
    (tmp_path / "tree").mkdir()
    for number, name in enumerate(sorted(names)):
        (file := tmp_path / "tree" / str(number)).touch()
        os.setxattr(file, name, b"v" * (number * 7 % 1000))
        os.setxattr(file, "user.shared", b"w" * 2000)  # one value for all, which lies elsewhere
    image = tmp_path / "image"
    command = ["mksquashfs", str(tmp_path / "tree"), str(image), "-quiet", "-no-progress", *options.split()]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert attribute_names(image, label="image") == names | {"user.shared"}


@pytest.mark.root
@pytest.mark.parametrize("name", ["10-ping.squashfs", "10-ping.tar.gz"])
def test_a_file_with_a_capability_needs_to_be_allowed_as_nodes_have_it(bench: Bench, name: str) -> None:
    (program := bench.plugin(name) / "usr/lib/ping").parent.mkdir(parents=True)
    program.touch()
    os.setxattr(program, "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    status, refused, _ = bench.check()
    assert status == REFUSED
    assert 'write allow = ["setuid"]' in refused
    bench.file("release.toml", 'allow = ["setuid"]')
    assert bench.check() == (BOOTS, "", "")
