"""Whether a node can unpack what it is about to fetch."""

from __future__ import annotations

from pathlib import Path

import pytest

from leecher.machine.unpackers import check_unpackers
from swarmboot.errors import ToolMissingError


def test_without_zstd_a_node_says_so_before_it_fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/nowhere:{tmp_path}")
    check_unpackers(["squashfs", "tar.gz", "cpio"])
    with pytest.raises(ToolMissingError, match="this initramfs cannot unpack zstd"):
        check_unpackers(["squashfs", "tar.zst"])
    (tmp_path / "zstd").touch(0o755)
    check_unpackers(["tar.zst", "cpio.zst"])
