"""Signed documents from neighbours, over plain HTTP: what a node without a seeder boots from.

Neighbours come and go and may be many, so they are asked asynchronously, where an attempt that is no longer wanted is
simply cancelled: h11 reads what they answer, trio waits for it. A connection is for one document; nothing of the
environment counts, and no answer leads to another address. h11 is imported when the first neighbour is asked: a boot
with a seeder never needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

from leecher.origin.connection_pool import CONNECT_S, SILENT_S
from leecher.release.documents import Read
from swarmboot.errors import OriginError, ProtocolError, StalledError, TransferError, UnreachableError

if TYPE_CHECKING:
    import h11

_READ_BYTES = 1 << 16


def neighbour_reader(base: str, *, bind: str = "") -> Read:
    """Return what reads a site's documents from the neighbour at `base`, an http:// address; raises TransferError."""

    async def read(path: str, max_bytes: int) -> bytes:
        import h11

        url = f"{base}/{path}"
        try:
            async with await _dial(url, bind) as stream:
                return await _whole(stream, url, max_bytes)
        except (OSError, trio.BrokenResourceError) as error:
            raise TransferError(f"{url} cannot be read: {error or type(error).__name__}") from error
        except (h11.ProtocolError, ValueError) as error:  # ValueError of numbers that have thousands of digits
            raise ProtocolError(f"{url} sends an answer that cannot be read", found=str(error)[:80]) from error

    return read


async def _dial(url: str, bind: str) -> trio.SocketStream:
    """Return a connection to a URL's host; raise UnreachableError if there is none within `CONNECT_S`."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    try:
        with trio.fail_after(CONNECT_S):
            return await trio.open_tcp_stream(parts.hostname, parts.port, local_address=bind or None)
    except (OSError, trio.TooSlowError) as error:
        why = error.__cause__ or error
        while isinstance(why, BaseExceptionGroup):
            why = why.exceptions[0]
        raise UnreachableError(f"{url} cannot be reached: {why if str(why) else 'no answer'}") from error


async def _whole(stream: trio.SocketStream, url: str, max_bytes: int) -> bytes:
    """Ask for a document and return it whole."""
    import h11

    parts, connection = urlsplit(url), h11.Connection(h11.CLIENT)
    headers = [("host", parts.netloc), ("accept-encoding", "identity"), ("connection", "close")]
    head = connection.send(h11.Request(method="GET", target=parts.path, headers=headers))
    assert head is not None
    connection.send(h11.EndOfMessage())
    with _patience(url):
        await stream.send_all(head)
    body = bytearray()
    while not isinstance(event := await _next(stream, connection, url), h11.EndOfMessage):
        if isinstance(event, h11.Response) and event.status_code != HTTPStatus.OK:
            raise OriginError(f"{url} was refused", expected="status 200", found=f"{event.status_code}")
        if isinstance(event, h11.Data):
            body += event.data
        elif not isinstance(event, h11.Response):  # interim answers, of which there may be no end, and other protocols
            raise ProtocolError(f"{url} sends no answer", expected="a document", found=str(event)[:80])
        if len(body) > max_bytes:
            raise ProtocolError(f"{url} sends too much", expected=f"at most {max_bytes} bytes", found="more")
    return bytes(body)


@contextmanager
def _patience(url: str) -> Iterator[None]:
    """Raise StalledError if what is done in the context takes longer than `SILENT_S`."""
    try:
        with trio.fail_after(SILENT_S):
            yield
    except trio.TooSlowError as error:
        raise StalledError(f"{url} sends nothing", found=f"silence for {SILENT_S:g} s") from error


async def _next(stream: trio.SocketStream, connection: h11.Connection, url: str) -> object:
    """Return what comes next of an answer: an event of h11's, or what it has in place of one."""
    import h11

    while (event := connection.next_event()) is h11.NEED_DATA:
        with _patience(url):
            connection.receive_data(await stream.receive_some(_READ_BYTES))
    return event
