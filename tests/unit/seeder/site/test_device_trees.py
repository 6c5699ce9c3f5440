"""Device trees in a site: beside the kernel that they are for, as published, and gone with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.site.device_trees import drop_trees, put_trees, read_trees, trees_path
from seeder.site.writer import writing
from swarmboot.errors import ReleaseError, UnreadableError
from swarmboot.ids import Digest

KERNEL, OTHER = Digest(b"\x01" * 32), Digest(b"\x02" * 32)


def build(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_trees_are_found_in_folders_and_other_files_passed_over(tmp_path: Path) -> None:
    build(tmp_path, "a/b.dtb", "c.dtb", "overlays/d.dtbo", "README", "a/Makefile")
    assert sorted(read_trees(tmp_path)) == ["a/b.dtb", "c.dtb", "overlays/d.dtbo"]


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    build(tmp_path / "dtb", "a.dtb")
    (tmp_path / "secret.dtb").write_text("x")
    (tmp_path / "dtb/b.dtb").symlink_to("../secret.dtb")
    with pytest.raises(UnreadableError, match="dtb/b.dtb is no file inside dtb/"):  # noqa: RUF043
        read_trees(tmp_path / "dtb")


def test_a_name_that_u_boot_cannot_be_told_is_refused(tmp_path: Path) -> None:
    build(tmp_path, "a b.dtb")
    with pytest.raises(ReleaseError, match="has a name that cannot be published"):
        read_trees(tmp_path)


def test_the_site_has_what_was_published_last_and_nothing_of_kernels_that_are_gone(tmp_path: Path) -> None:
    site = tmp_path / "site"
    with writing(site) as writer:
        put_trees(writer, KERNEL, read_trees(build(tmp_path / "first", "a/b.dtb", "c.dtb")))
        put_trees(writer, OTHER, read_trees(tmp_path / "first"))
        put_trees(writer, KERNEL, read_trees(build(tmp_path / "second", "a/b.dtb")))
        here = site / trees_path(KERNEL)
        assert [path.relative_to(here).as_posix() for path in here.rglob("*.dtb")] == ["a/b.dtb"]
        assert drop_trees(writer, {KERNEL}) == len("a/b.dtb") + len("c.dtb")
    assert here.is_dir()
    assert not (site / trees_path(OTHER)).exists()
