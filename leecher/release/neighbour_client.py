"""Signed documents from neighbours, over plain HTTP: what a node without a seeder boots from.

Neighbours come and go and may be many, so they are asked asynchronously, with httpx, where an attempt that is no longer
wanted is simply cancelled. httpx is imported when the first neighbour is asked: a boot with a seeder never needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leecher.origin.connection_pool import CONNECT_S, SILENT_S
from leecher.release.documents import Read
from swarmboot.errors import OriginError, ProtocolError, StalledError, TransferError, UnreachableError

if TYPE_CHECKING:
    import httpx


def neighbour_reader(base: str, *, bind: str = "") -> Read:
    """Return what reads a site's documents from the neighbour at `base`, an http:// address; raises TransferError."""

    async def read(path: str, max_bytes: int) -> bytes:
        import httpx

        url = f"{base}/{path}"
        # No TLS here: everything a neighbour serves is signed, and building a TLS context would need a CA bundle.
        transport = httpx.AsyncHTTPTransport(local_address=bind or None, verify=False)
        timeout = httpx.Timeout(SILENT_S, connect=CONNECT_S)
        try:
            async with httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as client:
                return await _whole(client, url, max_bytes)
        except (httpx.ConnectTimeout, httpx.ConnectError) as error:
            raise UnreachableError(f"{url} cannot be reached: {error or 'no answer'}") from error
        except httpx.TimeoutException as error:
            raise StalledError(f"{url} sends nothing", found=f"silence for {SILENT_S:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransferError(f"{url} cannot be read: {error or type(error).__name__}") from error

    async def _whole(client: httpx.AsyncClient, url: str, max_bytes: int) -> bytes:
        body = bytearray()
        async with client.stream("GET", url, headers={"accept-encoding": "identity"}) as response:
            if response.status_code != 200:
                raise OriginError(f"{url} was refused", expected="status 200", found=f"{response.status_code}")
            async for received in response.aiter_raw():
                body += received
                if len(body) > max_bytes:
                    raise ProtocolError(f"{url} sends too much", expected=f"at most {max_bytes} bytes", found="more")
        return bytes(body)

    return read
