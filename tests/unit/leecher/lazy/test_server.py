"""What reads that wait cost."""

from __future__ import annotations

import errno
import time
from pathlib import Path

from leecher.lazy import fuse
from leecher.lazy.image import ImageFacts
from leecher.lazy.server import FileServer


def test_a_piece_that_is_said_to_be_there_and_is_not_written_yet_is_not_asked_for_as_fast_as_can_be(
    tmp_path: Path,
) -> None:
    told: list[int] = []

    def tell(image: int, index: int, is_missing: bool) -> None:
        del image, is_missing
        told.append(index)
        server.something_came()

    server = FileServer(-1, tell)
    server.serve([ImageFacts(str(tmp_path / "image"), 1 << 14, 1 << 14, (bytes(32),))])
    assert not server._wait(0, 0, memoryview(bytearray(1 << 14)), time.monotonic() + 0.2)
    assert 1 < len(told) < 50


def test_a_server_that_is_killed_with_its_own_file_open_waits_for_no_answer_of_its_own() -> None:
    """The kernel asks for FLUSH as a dying process's files are closed, /dev/fuse after them, unless it is not known."""
    server, flush = FileServer(-1, lambda *_: None), 25
    assert server._simple(flush, fuse.ROOT, memoryview(bytes(64))) == (b"", errno.ENOSYS)
