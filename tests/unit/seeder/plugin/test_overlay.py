"""What an overlay's upper folder says is said in plain entries, over a root or by itself."""

from __future__ import annotations

import pytest

from seeder.plugin.overlay import Below, clamped, needed, plain, whiteout, with_folders
from seeder.publish.check.readers.tree import Inode
from swarmboot.archive import Entry
from swarmboot.errors import ReleaseError

ROOT = Below(
    {
        "etc": Inode("folder", 0o755),
        "etc/motd": Inode("file", 0o644),
        "srv": Inode("folder", 0o750, uid=7, gid=8),
        "srv/old": Inode("folder", 0o755),
        "srv/old/f": Inode("file", 0o644),
        "srv/old/deep": Inode("folder", 0o755),
        "srv/old/deep/g": Inode("file", 0o644),
    }
)


def folder(path: str, *attributes: tuple[str, bytes], mode: int = 0o755) -> Entry:
    return Entry(path, "folder", mode, attributes=attributes)


def said(*entries: Entry, below: Below | None = ROOT) -> dict[str, str]:
    found = plain(entries, below, label="x.tar.gz")
    return {path: "whiteout" if entry.is_whiteout else entry.kind for path, entry in found.items()}


@pytest.mark.parametrize("prefix", ["trusted.overlay.", "user.overlay.", "user.fuseoverlayfs."])
def test_an_opaque_folder_takes_away_what_the_root_has_in_it(prefix: str) -> None:
    entries = [folder("srv/old", (f"{prefix}opaque", b"y")), folder("srv/old/deep"), Entry("srv/old/n", "file")]
    assert said(*entries) == {
        "srv/old": "folder", "srv/old/deep": "folder", "srv/old/n": "file",
        "srv/old/f": "whiteout", "srv/old/deep/g": "whiteout",
    }  # fmt: skip


def test_a_new_folder_that_is_opaque_takes_nothing_away() -> None:
    assert said(folder("opt", ("trusted.overlay.opaque", b"y"))) == {"opt": "folder"}


def test_an_opaque_folder_over_a_root_that_is_not_known_is_refused() -> None:
    with pytest.raises(ReleaseError, match=r"replaces the folder /srv/old.* name it by --against RELEASE"):
        said(folder("srv/old", ("user.overlay.opaque", b"y")), below=None)


def test_whiteouts_of_container_images_and_of_newer_overlays_are_those_of_nodes() -> None:
    entries = [
        Entry("etc/.wh.motd", "file"),
        Entry("srv/old/.wh..wh..opq", "file"),
        Entry("etc/.wh..wh.plnk", "folder"),
        Entry("etc/hosts", "file", attributes=(("user.overlay.whiteout", b""),)),
        folder("etc", ("trusted.overlay.opaque", b"x")),
    ]
    assert said(*entries) == {
        "etc": "folder", "etc/motd": "whiteout", "etc/hosts": "whiteout", "srv/old/f": "whiteout",
        "srv/old/deep": "whiteout",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "trusted.overlay.redirect",
        "user.overlay.metacopy",
        "user.fuseoverlayfs.override_stat",
        "user.containers.override_stat",
    ],
)
def test_what_means_something_that_lies_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ReleaseError, match=f"/etc/x with the attribute {name}"):
        said(Entry("etc/x", "file", attributes=((name, b"/"),)))


def test_bookkeeping_of_an_overlay_is_passed_over() -> None:
    attributes = (("trusted.overlay.origin", b"\0"), ("user.overlay.impure", b"y"), ("user.mine", b"1"))
    assert said(Entry("etc/x", "file", attributes=attributes)) == {"etc/x": "file"}


def test_what_changes_nothing_is_not_packed() -> None:
    entries = {
        "etc": folder("etc"),
        "etc/gone-again": whiteout("etc/gone-again"),
        "srv": Entry("srv", "folder", 0o750, 7, 8),
        "srv/old": folder("srv/old", mode=0o700),
    }
    assert sorted(needed(entries, ROOT)) == ["srv", "srv/old"]
    assert needed(entries, None) == entries


def test_a_folder_that_lacks_is_the_roots_own() -> None:
    whole = with_folders({"srv/new/f": Entry("srv/new/f", "file")}, ROOT)
    assert (whole["srv"].mode, whole["srv"].uid, whole["srv"].gid) == (0o750, 7, 8)
    assert whole["srv/new"].mode == 0o755


def test_no_time_is_later_than_the_builds() -> None:
    times = clamped({"a": Entry("a", "file", modified_s=5.0), "b": Entry("b", "file", modified_s=99.0)}, to_s=10)
    assert [entry.modified_s for entry in times.values()] == [5.0, 10]


def test_a_folder_that_was_placed_for_others_is_packed_only_with_something_in_it() -> None:
    entries = {"usr": folder("usr"), "usr/sbin": folder("usr/sbin")}
    assert needed(entries, ROOT, {"usr", "usr/sbin"}) == {}
    entries["usr/sbin/x"] = Entry("usr/sbin/x", "file")
    assert sorted(needed(entries, ROOT, {"usr", "usr/sbin"})) == ["usr", "usr/sbin", "usr/sbin/x"]


def test_a_file_that_holds_what_the_roots_holds_is_packed_only_with_another_mode_or_owner() -> None:
    entries = {"etc/motd": Entry("etc/motd", "file", 0o644)}
    assert needed(entries, ROOT, same={"etc/motd"}) == {}
    other = {"etc/motd": Entry("etc/motd", "file", 0o600)}
    assert needed(other, ROOT, same={"etc/motd"}) == other
