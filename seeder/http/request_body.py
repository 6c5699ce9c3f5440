"""The bodies of requests, and what those under way may take of memory together.

An announce is a few kilobytes and may be a megabyte; thousands of connections that each send most of a megabyte and
then wait would take gigabytes. So beyond its first bytes, which are free, a body needs room, and room is bounded.
"""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import Receive

FREE_BYTES = 1 << 14
ROOM_BYTES = 1 << 25


class BodyRoom:
    """What bodies take beyond their first FREE_BYTES, ROOM_BYTES together at most."""

    def __init__(self) -> None:
        self.taken_bytes = 0

    async def read(self, receive: Receive, most_bytes: int) -> bytes | PlainTextResponse:
        """Return a request's body; or the answer to one that is too large, finds no room or does not come whole."""
        message = await receive()
        body = bytearray()
        taken_bytes = 0
        try:
            while message["type"] == "http.request":
                body += message.get("body", b"")
                if len(body) > most_bytes:
                    return PlainTextResponse(f"expected at most {most_bytes} bytes\n", status_code=413)
                if (more_bytes := len(body) - FREE_BYTES - taken_bytes) > 0:
                    if self.taken_bytes + more_bytes > ROOM_BYTES:
                        text = "too many large requests at once, ask again\n"
                        return PlainTextResponse(text, status_code=503, headers={"retry-after": "1"})
                    self.taken_bytes += more_bytes
                    taken_bytes += more_bytes
                if not message.get("more_body", False):
                    return bytes(body)
                message = await receive()
            return PlainTextResponse("the body did not come whole\n", status_code=400)
        finally:
            self.taken_bytes -= taken_bytes
