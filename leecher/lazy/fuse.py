"""The kernel's FUSE messages, as far as a folder of read-only files needs them: bytes to values and back.

Follows include/uapi/linux/fuse.h, version 7.31 (Linux 5.4), which every later kernel speaks too. Nothing here reads or
writes; what is not known is answered with ENOSYS, which the kernel takes as never to ask again. FLUSH is not known: a
server that is killed while it has a file of its own open would wait, as it closes that, for an answer of its own.
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum

ROOT = 1
MAX_READ_BYTES = 1 << 17
REQUEST_BYTES = 1 << 14
"""A buffer for requests must hold the longest: with less than 8 KiB, or max_write and headers, reading gives EINVAL."""
HEADER_BYTES = 16

_MAJOR, _MINOR = 7, 31
_MAX_WRITE_BYTES = 4096
_ASYNC_READ, _PARALLEL_DIROPS, _MAX_PAGES, _ASYNC_DIO = 1 << 0, 1 << 18, 1 << 22, 1 << 15
_ALWAYS_S = 86400
_FOLDER_MODE, _FILE_MODE = 0o040555, 0o100444

_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_INIT_IN = struct.Struct("<IIII")
_INIT_OUT = struct.Struct("<IIIIHHIIHHI28x")
_READ_IN = struct.Struct("<QQI")
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
_ENTRY = struct.Struct("<QQQQII")
_ATTR_HEAD = struct.Struct("<QII")
_OPEN_OUT = struct.Struct("<QII")


class Operation(IntEnum):
    """What the kernel may ask, of that which is answered."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    OPEN = 14
    READ = 15
    STATFS = 17
    RELEASE = 18
    INIT = 26
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42


UNANSWERED = frozenset({Operation.FORGET, Operation.BATCH_FORGET, Operation.INTERRUPT})
"""What gets no answer: an interrupted read is answered when its bytes are there."""


def header(request: memoryview) -> tuple[int, int, int]:
    """Return a request's operation, its number and the node it is about."""
    _, operation, number, node, *_ = _IN.unpack_from(request)
    return operation, number, node


def read_of(request: memoryview) -> tuple[int, int]:
    """Return a read's first byte and how many bytes it wants."""
    _, first_byte, size_bytes = _READ_IN.unpack_from(request, _IN.size)
    return first_byte, size_bytes


def name_of(request: memoryview) -> bytes:
    """Return the name that is looked up."""
    return bytes(request[_IN.size :]).partition(b"\0")[0]


def write_header(buffer: bytearray, number: int, *, size_bytes: int = 0, error: int = 0) -> None:
    """Write an answer's header into a buffer's beginning; `size_bytes` follow it."""
    _OUT.pack_into(buffer, 0, HEADER_BYTES + size_bytes, -error, number)


def init_answer(request: memoryview) -> bytes:
    """Return the answer to INIT: the highest version that both know; kernels of another major are refused by it."""
    _, minor, max_readahead, flags = _INIT_IN.unpack_from(request, _IN.size)
    wanted = flags & (_ASYNC_READ | _PARALLEL_DIROPS | _MAX_PAGES | _ASYNC_DIO)
    pages = MAX_READ_BYTES // os.sysconf("SC_PAGE_SIZE")  # 64 KiB on some kernels; a short answer would mean the end
    return _INIT_OUT.pack(
        _MAJOR, min(minor, _MINOR), max_readahead, wanted, 32, 24, _MAX_WRITE_BYTES, 1, pages, 0, 0
    )  # fmt: skip


def attributes(node: int, size_bytes: int | None) -> bytes:
    """Return a file's attributes, or a folder's where there is no size."""
    mode, links = (_FOLDER_MODE, 2) if size_bytes is None else (_FILE_MODE, 1)
    size_bytes = size_bytes or 0
    return _ATTR.pack(node, size_bytes, -(-size_bytes // 512), 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0)


def entry_answer(node: int, size_bytes: int) -> bytes:
    """Return the answer to LOOKUP for a file."""
    return _ENTRY.pack(node, 0, _ALWAYS_S, _ALWAYS_S, 0, 0) + attributes(node, size_bytes)


def attributes_answer(node: int, size_bytes: int | None) -> bytes:
    """Return the answer to GETATTR."""
    return _ATTR_HEAD.pack(_ALWAYS_S, 0, 0) + attributes(node, size_bytes)


def open_answer() -> bytes:
    """Return the answer to OPEN: no flags, so that the loop may read past the page cache or not, as it likes."""
    return _OPEN_OUT.pack(0, 0, 0)


def statfs_answer() -> bytes:
    """Return the answer to STATFS: nothing is free."""
    return struct.pack("<QQQQQIIII24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
