"""Where a compressed stream ends inside a file, and what is in it: an initramfs is several of them behind one another.

gzip (RFC 1952), xz, lzma-alone and bzip2 by Python's own modules; zstd (RFC 8878) and lz4's legacy frames by zstd(1)
and lz4(1), which are given no byte more than is theirs, so that what follows can be read. Bounded in memory.
"""

from __future__ import annotations

import bz2
import lzma
import shutil
import subprocess
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Protocol

from swarmboot.archive import Stream
from swarmboot.errors import ReleaseError, ToolMissingError

_CHUNK_BYTES = 1 << 18
_MEMORY_BYTES = 1 << 30
_ZSTD, _LZ4 = b"\x28\xb5\x2f\xfd", b"\x02\x21\x4c\x18"
_LZ4_BLOCK_MAX = (8 << 20) + (8 << 20) // 255 + 16
_MAGIC = {
    b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"\x5d\0\0": "lzma", b"BZh": "bzip2", _ZSTD: "zstd", _LZ4: "lz4",
    b"\x89LZO": "lzo",
}  # fmt: skip
_FAULTS = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


def compression_of(head: bytes) -> str:
    """Return how something is compressed that begins with these bytes, as the kernel tells (lib/decompress.c)."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")


class _Inflated:
    """What is in a stream that Python can decompress, read forward; the stream is left behind its end."""

    def __init__(self, stream: Stream, kind: str, label: str) -> None:
        self._stream = stream
        self._kind = kind
        self._label = label
        self._gzip = zlib.decompressobj(wbits=31) if kind == "gzip" else None
        bzip2 = bz2.BZ2Decompressor() if kind == "bzip2" else None
        xz = lzma.LZMADecompressor(memlimit=_MEMORY_BYTES) if kind in ("xz", "lzma") else None
        self._other = bzip2 or xz
        self._decompressor: _Decompressor = self._gzip or self._other  # type: ignore[assignment]
        self._is_over = False

    def read(self, size_bytes: int) -> bytes:
        """Return at least one byte, none at the end; raise ReleaseError, here where it is read, if it is not whole."""
        data = b""
        while not data and not self._is_over:
            try:
                data = self._step(size_bytes)
            except _FAULTS as error:
                raise _broken(self._label, self._kind, error) from error
            self._is_over = self._decompressor.eof
            if self._is_over:
                self._stream.put_back(self._decompressor.unused_data)
        return data

    def _step(self, most_bytes: int) -> bytes:
        if self._gzip is not None:
            return self._gzip.decompress(self._gzip.unconsumed_tail or self._more(), most_bytes)
        assert self._other is not None
        return self._other.decompress(self._more() if self._other.needs_input else b"", most_bytes)

    def _more(self) -> bytes:
        data = self._stream.some(_CHUNK_BYTES)
        if not data:
            raise EOFError("it ends too soon")
        return data


@contextmanager
def decompressed(stream: Stream, kind: str, *, label: str) -> Iterator[IO[bytes]]:
    """Give what is in the compressed stream that begins here, which is to be read to its end.

    Raises ReleaseError if it cannot be decompressed, as its `read` does, ToolMissingError if this machine lacks the
    program for it.
    """
    try:
        if kind in ("zstd", "lz4"):
            with _by_program(stream, kind) as file:
                yield file
        elif kind in ("gzip", "xz", "lzma", "bzip2"):
            yield _Inflated(stream, kind, label)  # type: ignore[misc]
        else:
            raise ToolMissingError(f"{kind} is not read here")
    except _FAULTS as error:
        raise _broken(label, kind, error) from error


def _broken(label: str, kind: str, error: Exception) -> ReleaseError:
    return ReleaseError(f"{label} cannot be unpacked", found=f"{kind}: {error}", hint="build it again")


@contextmanager
def _by_program(stream: Stream, kind: str) -> Iterator[IO[bytes]]:
    if not shutil.which(kind):
        raise ToolMissingError(f"{kind} is not installed", hint=f"install the package {kind}")
    command = (kind, "-dcq")  # zstd: windows of 128 MiB at most, as the kernel has it (lib/decompress_unzstd.c)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    faults: list[Exception] = []
    with subprocess.Popen(command, **pipes) as process, ExitStack() as stack:  # type: ignore[call-overload]
        feeder = threading.Thread(target=_feed, args=(stream, kind, process.stdin, faults))
        feeder.start()
        stack.callback(feeder.join)
        on_failure = stack.enter_context(ExitStack())
        on_failure.callback(process.kill)
        yield process.stdout
        while process.stdout.read(_CHUNK_BYTES):
            pass
        on_failure.pop_all()
    if faults:
        raise faults[0]
    if process.returncode:
        raise OSError(f"it ended with {process.returncode}")


def _feed(stream: Stream, kind: str, file: IO[bytes], faults: list[Exception]) -> None:
    """Write a compressed stream to a program, and have what is wrong with it in `faults`."""
    try:
        for part in (_zstd_parts if kind == "zstd" else _lz4_parts)(stream):
            file.write(part)
    except (ReleaseError, ValueError) as error:
        faults.append(error)
    except BrokenPipeError:
        pass
    finally:
        with suppress(OSError):
            file.close()


def _pieces(stream: Stream, size_bytes: int) -> Iterator[bytes]:
    while size_bytes:
        piece = stream.read(min(size_bytes, _CHUNK_BYTES))
        size_bytes -= len(piece)
        yield piece


def _zstd_parts(stream: Stream) -> Iterator[bytes]:
    """Yield the bytes of one zstd frame (RFC 8878, section 3.1.1)."""
    head = stream.read(5)
    flags = head[4]
    is_single, has_checksum = bool(flags & 0x20), bool(flags & 0x04)
    size_field = (1 if is_single else 0, 2, 4, 8)[flags >> 6]
    yield head + stream.read((not is_single) + (0, 1, 2, 4)[flags & 3] + size_field)
    is_last = False
    while not is_last:
        raw = stream.read(3)
        header = int.from_bytes(raw, "little")
        is_last, kind, size_bytes = bool(header & 1), header >> 1 & 3, header >> 3
        if kind == 3:
            raise ValueError("a block of an unknown kind")
        yield raw
        yield from _pieces(stream, 1 if kind == 1 else size_bytes)
    if has_checksum:
        yield stream.read(4)


def _lz4_parts(stream: Stream) -> Iterator[bytes]:
    """Yield the bytes of lz4's legacy frames, as the kernel takes them (lib/decompress_unlz4.c)."""
    yield stream.read(4)
    while len(raw := _up_to(stream, 4)) == 4:
        size_bytes = int.from_bytes(raw, "little")
        if raw != _LZ4 and not 0 < size_bytes <= _LZ4_BLOCK_MAX:
            break
        yield raw
        if raw != _LZ4:
            yield from _pieces(stream, size_bytes)
    stream.put_back(raw)


def _up_to(stream: Stream, size_bytes: int) -> bytes:
    data = b""
    while len(data) < size_bytes and (part := stream.some(size_bytes - len(data))):
        data += part
    return data
