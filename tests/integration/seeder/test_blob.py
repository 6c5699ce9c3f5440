"""Files that the seeder sends: the same bytes whether the kernel has them in memory, can tell, or neither."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from random import Random

import pytest

from seeder.http import file_response
from seeder.http.file_response import BlobFile, OpenFiles, chunk_bytes_for

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
    files = OpenFiles()
    shared = files.open(path)
    assert shared is not None
    file = BlobFile(shared)
    for first in (0, 123_457, len(DATA) - 1):
        await file.seek(first)
        read = b""
        while chunk := await file.read(chunk_bytes):
            read += chunk
        assert read == DATA[first:]
    files.close(shared)
    assert len(files) == 0


def test_a_turn_is_ten_milliseconds_of_the_uplink() -> None:
    assert chunk_bytes_for(1e3) == file_response.LEAST_CHUNK_BYTES
    assert chunk_bytes_for(12.5e6) == 1 << 16
    assert chunk_bytes_for(125e6) == file_response.MAX_CHUNK_BYTES
    assert chunk_bytes_for(125e6, 256) == file_response.MAX_CHUNK_BYTES
    assert chunk_bytes_for(125e6, 1000) * 1000 <= file_response.CHUNKS_BYTES
    assert chunk_bytes_for(125e6, 100_000) == file_response.LEAST_CHUNK_BYTES
    assert chunk_bytes_for(6.25e6, weight=8.0) == 8 * chunk_bytes_for(6.25e6)
    assert chunk_bytes_for(125e6, weight=32.0) == file_response.AWAITED_CHUNK_BYTES
    assert chunk_bytes_for(125e6, 1000, weight=32.0) * 1000 <= file_response.CHUNKS_BYTES


def test_a_file_is_open_once_however_many_read_it(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    files = OpenFiles()
    readers = [files.open(path) for _ in range(50)]
    assert len({reader.descriptor for reader in readers if reader is not None}) == 1
    for reader in readers:
        assert reader is not None
        files.close(reader)
    assert len(files) == files.readers == 0


def test_what_is_no_file_is_none_and_nothing_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    files = OpenFiles()
    assert [files.open(tmp_path / name) for name in ("fifo", "missing", ".")] == [None, None, None]
    assert len(files) == 0
