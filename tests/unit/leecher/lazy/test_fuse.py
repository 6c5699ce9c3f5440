"""What the kernel is answered when it begins to speak FUSE."""

from __future__ import annotations

import os
import struct

import pytest

from leecher.lazy.fuse import MAX_READ_BYTES, init_answer

_FLAGS = 0xFFFFFFFF
_HEADER_BYTES, _MAX_PAGES_AT = 40, 28


@pytest.mark.parametrize("page_bytes", [4096, 16384, 65536])
def test_no_read_is_longer_than_what_it_is_answered_from(monkeypatch: pytest.MonkeyPatch, page_bytes: int) -> None:
    monkeypatch.setattr(os, "sysconf", lambda _name: page_bytes)
    request = bytes(_HEADER_BYTES) + struct.pack("<IIII", 7, 36, 131072, _FLAGS)
    (pages,) = struct.unpack_from("<H", init_answer(memoryview(request)), _MAX_PAGES_AT)
    assert pages * page_bytes == MAX_READ_BYTES
