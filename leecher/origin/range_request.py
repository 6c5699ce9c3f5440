"""Ranges of pieces from an origin, as fast as the link: one streamed Range request each (RFC 9110 section 14).

The bytes go from the connection straight into a piece's buffer. Every answer is checked against what was asked. How
long one may take is not decided here: it says how much has come, and can be aborted.
"""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from leecher.origin.connection_pool import Connections, Request
from swarmboot.errors import OriginError, ProtocolError

_LOW_WATER_BYTES = 1 << 15
_TAIL_BYTES = 1 << 17
"""So near the end of a range every byte wakes the reader: fewer than the low water may be left."""
_RANGE = re.compile(r"bytes ([0-9]{1,16})-([0-9]{1,16})/([0-9]{1,16})\Z")

Take = Callable[[bytes], None]
"""Takes one piece's bytes."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Consecutive bytes of one blob, taken in chunks of `chunk_bytes`, the last one shorter if need be."""

    url: str
    first_byte: int
    size_bytes: int
    chunk_bytes: int

    @property
    def last_byte(self) -> int:
        """Return the last byte's place, as a Range header names it."""
        return self.first_byte + self.size_bytes - 1


class RangeRequest(Request):
    """Reads a range and hands every chunk of it to `take`, in the reading thread.

    `run` raises TransferError if the origin answers anything but those bytes.
    """

    def __init__(self, connections: Connections, byte_range: ByteRange, take: Take) -> None:
        super().__init__(connections, byte_range.url)
        self.received_bytes = 0
        self._byte_range = byte_range
        self._take = take

    def send(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        """Ask for the range and return the beginning of the answer."""
        headers = {
            "range": f"bytes={self._byte_range.first_byte}-{self._byte_range.last_byte}",
            "accept-encoding": "identity",
        }
        connection.request("GET", self.path, headers=headers)
        return connection.getresponse()

    def receive(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        """Check that it is the range that was asked for, and read the chunks."""
        _check(response, self._byte_range)
        self._end_watch()
        reader = _Reader(connection, response, self._byte_range, self._advance)
        while reader.left_bytes:
            self._take(reader.chunk())
        response.read()

    def _advance(self, size_bytes: int) -> None:
        self.received_bytes += size_bytes


class _Reader:
    """Reads one answer's body, waking only for `_LOW_WATER_BYTES` at a time until its tail (socket(7), SO_RCVLOWAT)."""

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        byte_range: ByteRange,
        advance: Callable[[int], None],
    ) -> None:
        self.left_bytes = byte_range.size_bytes
        self._advance = advance
        self._socket = connection.sock
        self._response = response
        self._byte_range = byte_range
        self._wake_at(_LOW_WATER_BYTES if self.left_bytes > _TAIL_BYTES else 1)

    @property
    def _step_bytes(self) -> int:
        """Return how much to ask for, because `readinto` fills what it is given: not across the tail's start."""
        left_bytes = self.left_bytes - _TAIL_BYTES if self.left_bytes > _TAIL_BYTES else self.left_bytes
        return min(left_bytes, _LOW_WATER_BYTES)

    def _wake_at(self, size_bytes: int) -> None:
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size_bytes)

    def chunk(self) -> bytes:
        """Return the next chunk whole; raise ProtocolError if the answer ends before."""
        chunk = bytearray(min(self.left_bytes, self._byte_range.chunk_bytes))
        view, filled = memoryview(chunk), 0
        while filled < len(chunk):
            got = self._response.readinto(view[filled : filled + self._step_bytes])
            if not got:
                found = f"{self._byte_range.size_bytes - self.left_bytes}"
                raise ProtocolError(
                    f"{self._byte_range.url} breaks off", expected=f"{self._byte_range.size_bytes} bytes", found=found
                )
            filled += got
            self.left_bytes -= got
            self._advance(got)
            if self.left_bytes == _TAIL_BYTES:
                self._wake_at(1)
        return bytes(chunk)


def _check(response: http.client.HTTPResponse, byte_range: ByteRange) -> None:
    """Raise TransferError unless the answer is exactly the range that was asked for."""
    if response.status != 206:
        refusal = OriginError(
            f"{byte_range.url} was refused",
            expected="status 206",
            found=f"{response.status} {response.reason}".rstrip(),
            hint="check the address and the server's log",
        )
        refusal.is_gone = response.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
        raise refusal
    found = response.headers.get("content-range", "")
    match = _RANGE.match(found)
    if not match or (int(match[1]), int(match[2])) != (byte_range.first_byte, byte_range.last_byte):
        expected = f"bytes {byte_range.first_byte}-{byte_range.last_byte}"
        raise ProtocolError(f"{byte_range.url} sends another range", expected=expected, found=repr(found[:80]))
    if response.length != byte_range.size_bytes:
        what = f"{byte_range.url} lies about its length"
        raise ProtocolError(what, expected=f"{byte_range.size_bytes} bytes", found=f"{response.length}")
