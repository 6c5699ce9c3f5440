"""What an image takes once unpacked, counted for the manifest."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from seeder.publish.images.unpacked_size import unpacked_bytes
from swarmboot.errors import ReleaseError

SIZE = 3_000_001


def test_what_is_mounted_or_loaded_takes_nothing_more(tmp_path: Path) -> None:
    assert {kind: unpacked_bytes(tmp_path / "none", kind, label="x") for kind in ("squashfs", "linux", "cpio")} == {
        "squashfs": 0, "linux": 0, "cpio": 0,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["tar.gz", "cpio.gz"])
def test_a_gzip_archive_is_counted_to_the_last_byte(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x").write_bytes(gzip.compress(bytes(SIZE)) + gzip.compress(bytes(5)))
    assert unpacked_bytes(tmp_path / "x", kind, label="x") == SIZE + 5


@pytest.mark.parametrize("kind", ["tar.zst", "cpio.zst"])
@pytest.mark.skipif(not shutil.which("zstd"), reason="they need zstd, not installed here")
def test_a_zstd_archive_is_counted_even_if_its_header_does_not_say(tmp_path: Path, kind: str) -> None:
    packed = subprocess.run(("zstd", "-q", "--long=27", "-c"), input=bytes(SIZE), capture_output=True, check=True)
    (tmp_path / "x").write_bytes(packed.stdout)
    assert unpacked_bytes(tmp_path / "x", kind, label="x") == SIZE


@pytest.mark.parametrize(
    ("kind", "data"),
    [("tar.gz", gzip.compress(bytes(SIZE))[:-9]), ("tar.gz", b"\x1f\x8bno"), ("tar.zst", b"\x28\xb5\x2f\xfdno")],
)
def test_a_broken_archive_is_named(tmp_path: Path, kind: str, data: bytes) -> None:
    if kind.endswith("zst") and not shutil.which("zstd"):
        pytest.skip("they need zstd, not installed here")
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ReleaseError, match=f"plugins/x.{kind} cannot be unpacked: found "):
        unpacked_bytes(tmp_path / "x", kind, label=f"plugins/x.{kind}")
