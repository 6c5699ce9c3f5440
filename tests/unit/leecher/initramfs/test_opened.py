"""How an image is opened that is unpacked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from leecher.initramfs.root import opened


@pytest.mark.needs("zstd")
def test_an_image_is_unpacked_although_its_name_is_a_link_to_it(tmp_path: Path) -> None:
    """As it is while it is in use before all the others are whole."""
    (tmp_path / "plain").write_bytes(b"what is in it")
    subprocess.run(["zstd", "-q", tmp_path / "plain", "-o", tmp_path / "arriving"], check=True)
    (tmp_path / "a.tar.zst").symlink_to("arriving")
    with opened(tmp_path / "a.tar.zst", "tar.zst") as archive:
        assert archive.read() == b"what is in it"
