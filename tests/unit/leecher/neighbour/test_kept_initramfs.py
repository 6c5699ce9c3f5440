"""The initramfs is found in what a kernel has kept of its loader's initrds, and nothing else is taken for it."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from random import Random

import pytest

from leecher.neighbour.early_stage0 import copy_kept
from swarmboot.ids import Digest, InfoHash
from swarmboot.release.manifest import Artifact, Role

INITRAMFS = b"\x1f\x8b" + Random(1).randbytes(10_001)
NODE_FILES = b"070701" + Random(2).randbytes(3_000)


def artifact(data: bytes) -> Artifact:
    digest = Digest(hashlib.sha256(data).digest())
    return Artifact("initramfs.img", Role.INITRAMFS, "cpio", len(data), digest, InfoHash(bytes(32)), 1 << 16)


def padded(data: bytes, to: int) -> bytes:
    return data + bytes(-len(data) % to)


def found(kept: bytes, tmp_path: Path, *, wanted: bytes = INITRAMFS) -> bytes | None:
    path, file = tmp_path / "initrd", BytesIO()
    path.write_bytes(kept)
    is_there = copy_kept(path, artifact(wanted), file)
    return file.getvalue() if is_there else None


@pytest.mark.parametrize("align", [4, 512, 4096])
@pytest.mark.parametrize("has_node_files", [True, False])
def test_it_is_found_alone_and_behind_other_files_with_padding_or_without(
    align: int, has_node_files: bool, tmp_path: Path
) -> None:
    before = padded(NODE_FILES, align) if has_node_files else b""
    for kept in (before + INITRAMFS, before + padded(INITRAMFS, align)):
        assert found(kept, tmp_path) == INITRAMFS


def test_another_initramfs_of_the_same_size_is_not_taken_for_it(tmp_path: Path) -> None:
    assert found(INITRAMFS[:-1] + bytes([INITRAMFS[-1] ^ 1]), tmp_path) is None


def test_one_that_is_larger_than_all_that_was_kept_is_not_found(tmp_path: Path) -> None:
    assert found(INITRAMFS[:100], tmp_path) is None


def test_a_kernel_that_keeps_nothing_has_none(tmp_path: Path) -> None:
    assert not copy_kept(tmp_path / "initrd", artifact(INITRAMFS), BytesIO())


def test_nothing_is_left_in_the_file_of_what_was_tried(tmp_path: Path) -> None:
    path, file = tmp_path / "initrd", BytesIO()
    path.write_bytes(b"\x1f" + bytes(len(INITRAMFS) - 1))
    assert not copy_kept(path, artifact(INITRAMFS), file)
    assert file.getvalue() == b""
