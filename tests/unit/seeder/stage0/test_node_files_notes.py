"""What `serve` says of files for nodes that no node will be given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seeder.stage0.rack_map import check_node_files, node_files_notes, read_node_files
from swarmboot.errors import MalformedSettingError


def test_what_no_node_is_given_is_named_with_what_to_do(tmp_path: Path) -> None:
    for name in ("default", "52-54-00-12-34-56", "52:54:00:12:34:57", "52-54-00-AB-CD-EF", "node7"):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc" / "motd").write_text("x")
    (tmp_path / "default" / "etc" / "hosts").symlink_to("/etc/hosts")
    (tmp_path / "default" / "ssh").symlink_to("etc")
    os.mkfifo(tmp_path / "default" / "pipe")
    (tmp_path / "52-54-00-00-00-01").symlink_to("default")
    (tmp_path / "52-54-00-00-00-02").write_text("x")
    assert node_files_notes(tmp_path) == [
        f"{tmp_path}/52-54-00-00-00-01 is passed over: it is a link",
        f"{tmp_path}/52-54-00-00-00-02 is passed over: it is no folder",
        f"{tmp_path}/52-54-00-AB-CD-EF is passed over: call it 52-54-00-ab-cd-ef",
        f"{tmp_path}/52:54:00:12:34:57 is passed over: call it 52-54-00-12-34-57",
        f"{tmp_path}/default/pipe is passed over: it is no regular file",
        f"{tmp_path}/default/ssh is passed over: it is a link; put a file in its place",
        f"{tmp_path}/default/etc/hosts is passed over: it is a link; put a file in its place",
        f"{tmp_path}/node7 is passed over: expected default, or a MAC address as in 52-54-00-12-34-56",
    ]
    assert list(read_node_files(tmp_path, "52:54:00:12:34:56")) == ["etc/motd"]


def test_a_folder_in_order_gives_no_note_and_many_faults_few(tmp_path: Path) -> None:
    (tmp_path / "default" / "etc").mkdir(parents=True)
    check_node_files(tmp_path)
    assert node_files_notes(tmp_path) == []
    for number in range(30):
        (tmp_path / f"node{number}").mkdir()
    assert len(node_files_notes(tmp_path)) == 11
    assert node_files_notes(tmp_path)[-1] == f"and 20 more in {tmp_path} are passed over"


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nothere", tmp_path / "file"):
        with pytest.raises(MalformedSettingError, match=f"--node-files {path} cannot be used"):
            check_node_files(path)
