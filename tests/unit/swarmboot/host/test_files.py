from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from swarmboot.host import files


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o644)
    files.write_whole(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_mode_is_given_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.write_whole(tmp_path / "a", b"", mode=0o644, is_flushed=False)
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o644


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"elsewhere")
    (tmp_path / "a").symlink_to("elsewhere")
    files.write_whole(tmp_path / "a", b"new", mode=0o644)
    assert (tmp_path / "elsewhere").read_bytes() == b"elsewhere"
    assert not (tmp_path / "a").is_symlink()


def test_what_cannot_be_put_in_its_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        files.write_whole(tmp_path / "a", b"new", mode=0o644)
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_nobody_else_can_read_it_before_it_is_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    fchmod = os.fchmod

    def look(descriptor: int, mode: int) -> None:
        modes.append(os.fstat(descriptor).st_mode & 0o7777)
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", look)
    files.write_whole(tmp_path / "a", b"secret", mode=0o644)
    assert modes == [0o600]


def test_an_error_names_the_file_that_was_asked_for_and_not_the_one_beside_it(tmp_path: Path) -> None:
    wanted = tmp_path / "nowhere" / "a"
    with pytest.raises(FileNotFoundError) as caught:
        files.write_whole(wanted, b"new", mode=0o644)
    assert caught.value.filename == str(wanted)


def test_a_full_disk_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, files.named_as(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / "a")


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, files.named_as(tmp_path / "a"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")
