"""Files that the seeder sends: the same bytes whether the kernel has them in memory, can tell, or neither."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from random import Random

import pytest

from seeder import blob
from seeder.blob import BlobFile, chunk_bytes_for

DATA = Random(5).randbytes(700_001)


@pytest.mark.parametrize("chunk_bytes", [1 << 14, 1 << 16, 1 << 18, 1 << 20])
@pytest.mark.parametrize("refusal", [None, errno.EAGAIN, errno.EOPNOTSUPP])
async def test_a_file_is_read_whole_from_any_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int, refusal: int | None
) -> None:
    if refusal is not None:

        def refuse(*_: object) -> int:
            raise OSError(refusal, os.strerror(refusal))

        monkeypatch.setattr(os, "preadv", refuse)
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    file = BlobFile(path)
    for first in (0, 123_457, len(DATA) - 1):
        await file.seek(first)
        read = b""
        while chunk := await file.read(chunk_bytes):
            read += chunk
        assert read == DATA[first:]
    file.close()


def test_a_turn_is_ten_milliseconds_of_the_uplink() -> None:
    assert chunk_bytes_for(1e3) == blob.LEAST_CHUNK_BYTES
    assert chunk_bytes_for(12.5e6) == 1 << 16
    assert chunk_bytes_for(125e6) == blob.MOST_CHUNK_BYTES
