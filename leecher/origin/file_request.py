"""One whole file of a known size, from an origin or a neighbour, into a file on this machine; its digest on the way."""

from __future__ import annotations

import hashlib
import http.client
from typing import BinaryIO

from leecher.origin.connection_pool import Connections, Request
from swarmboot.errors import OriginError, ProtocolError

_READ_BYTES = 1 << 17


class FileRequest(Request):
    """GETs `size_bytes` bytes into `file`; `sha256` is their digest once it has run.

    `run` raises TransferError if there is no such file, or one of another size, or if it cannot be written: `unwritten`
    then says why.
    """

    def __init__(self, connections: Connections, url: str, *, size_bytes: int, file: BinaryIO) -> None:
        super().__init__(connections, url)
        self.sha256 = b""
        self.unwritten: OSError | None = None
        self._size_bytes = size_bytes
        self._file = file

    def send(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        """Ask for the file and return the beginning of the answer."""
        connection.request("GET", self.path, headers={"accept-encoding": "identity"})
        return connection.getresponse()

    def receive(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:  # noqa: ARG002
        """Check that it is as large as it should be, and read it."""
        if response.status != 200:
            raise OriginError(f"{self.url} was refused", expected="status 200", found=str(response.status))
        if response.length != self._size_bytes:
            what, expected = f"{self.url} has another size", f"{self._size_bytes} bytes"
            raise ProtocolError(what, expected=expected, found=f"{response.length}")
        digest, buffer, received_bytes = hashlib.sha256(), bytearray(_READ_BYTES), 0
        while got := response.readinto(buffer):
            digest.update(memoryview(buffer)[:got])
            self._write(memoryview(buffer)[:got])
            received_bytes += got
            self.progressed(received_bytes)
        if received_bytes != self._size_bytes:
            raise ProtocolError(
                f"{self.url} breaks off", expected=f"{self._size_bytes} bytes", found=f"{received_bytes}"
            )
        self.sha256 = digest.digest()

    def _write(self, data: memoryview) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            self.unwritten = error
            raise
