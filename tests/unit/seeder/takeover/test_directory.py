"""A release directory that is made of somebody else's files: whole or not at all, whenever it is interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from seeder.takeover.directory import Directory


def _make(text: str, release: Path) -> Mapping[str, object]:
    (release / "rootfs.squashfs").write_text(text)
    return {"kernel": "6.1"}


def test_who_interrupts_the_exchange_has_the_old_release_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Directory(tmp_path / "release", ".parts", "")
    directory.made_of("1", lambda release: _make("one", release))
    (tmp_path / "release/initramfs.img").write_text("built by hand")
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == "release" and target == directory.out:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        directory.made_of("2", lambda release: _make("two", release))
    assert (tmp_path / "release/rootfs.squashfs").read_text() == "one"
    assert (tmp_path / "release/initramfs.img").read_text() == "built by hand"
    assert [path.name for path in tmp_path.iterdir()] == ["release"]
    monkeypatch.undo()
    directory.made_of("2", lambda release: _make("two", release))
    assert (tmp_path / "release/rootfs.squashfs").read_text() == "two"


def test_a_directory_that_cannot_be_made_is_named_and_not_what_is_beside_it() -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        Directory(Path("/proc/release"), ".parts", "").made_of("stamp", lambda _: {})
    assert caught.value.filename == "/proc/release"
