"""`hook inspect` of what is no initramfs: one line says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarmboot.errors import ReleaseError, UnreadableError
from tests.support.commands import run

pytestmark = pytest.mark.needs("zstd")


def test_what_is_no_file_and_what_holds_none_is_refused_in_one_line(tmp_path: Path) -> None:
    for name in ("folder", "pipe", "empty", "zeros"):
        path = tmp_path / name
        if name == "folder":
            path.mkdir()
        elif name == "pipe":
            os.mkfifo(path)
        else:
            path.write_bytes(bytes(512 if name == "zeros" else 0))
    refused = {
        "folder": "is no initramfs: expected a file, found no regular file",
        "pipe": "is no initramfs: expected a file, found no regular file",
        "/dev/null": "is no initramfs: expected a file, found no regular file",
        "missing": "is no initramfs: expected a file, found nothing",
        "empty": "holds no file: expected an initramfs",
        "zeros": "holds no file: expected an initramfs",
    }
    for name, words in refused.items():
        done = run("hook", "inspect", tmp_path / name)
        assert (done.status, done.out) == (UnreadableError.exit_status, ""), name
        assert done.err == f"swarmboot: {tmp_path / name} {words}\n"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_file_that_is_no_initramfs_is_refused_with_what_it_begins_with(tmp_path: Path, options: tuple[str]) -> None:
    (tmp_path / "image").write_bytes(b"#!/bin/sh\n")
    done = run("hook", "inspect", tmp_path / "image", *options)
    assert (done.status, done.out) == (ReleaseError.exit_status, "")
    assert "cannot be unpacked: expected cpio archives" in done.line
