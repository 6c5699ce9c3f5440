"""What a node says to an origin and to the seeder over HTTPS, for trio: small documents, announces, reports.

Every read is bounded and every answer checked against what was asked (`leecher.origin.small_request`). Runs of pieces
are read by `leecher.origin.range_request`. It will not retry; that is the caller's policy.
"""

from __future__ import annotations

from leecher.origin.connection_pool import Connections
from leecher.origin.small_request import SmallRequest
from leecher.origin.threads import in_thread
from swarmboot.crypto.fleet_token import Prover


class Origin:
    """Reads from any origin by address, over connections that are kept."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def document(self, url: str, *, max_bytes: int) -> bytes:
        """Return a whole small document; raise TransferError if it cannot be had or is larger than `max_bytes`."""
        request = SmallRequest(self.connections, url, max_bytes=max_bytes)
        await in_thread(request)
        return request.answer

    async def post(
        self, url: str, body: bytes, *, media_type: str, max_bytes: int, timeout_s: float, prover: Prover | None = None
    ) -> bytes:
        """Send `body` and return the answer; raise TransferError if none comes or it is larger than `max_bytes`.

        `prover` is for the seeder alone.
        """
        request = SmallRequest(
            self.connections,
            url,
            max_bytes=max_bytes,
            body=body,
            media_type=media_type,
            silent_s=timeout_s,
            prover=prover,
        )
        await in_thread(request)
        return request.answer
