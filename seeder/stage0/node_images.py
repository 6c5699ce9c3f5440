"""The images of machines' own files while they are sent: read once a second at most, and in memory once each.

Anybody may ask for one over plain HTTP, as often as there are connections, and then not read it. So an image is shared
by all who are sent it, goes out a chunk at a time, and all of them together have a bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.types import Receive, Scope, Send

from seeder.http.file_response import no_more_files
from seeder.http.pacer import Pacer
from seeder.stage0.rack_map import NODE_IMAGE_MAX_BYTES, node_image, read_node_files

ROOM_BYTES = 16 * NODE_IMAGE_MAX_BYTES
_FRESH_S = 1.0


@dataclass(slots=True)
class HeldImage:
    """One image, until when it is as fresh as its files, and how many are being sent it."""

    data: bytes
    fresh_until_s: float
    readers: int = 0


class NodeImages:
    """The images of the files below `folder`; without a folder nobody has any."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._fresh: dict[str, HeldImage] = {}
        self._sent: list[HeldImage] = []

    def image(self, mac: str, *, now_s: float) -> HeldImage:
        """Return a machine's image, which is empty if it has no files; raise SpaceError if they are too large."""
        if self._folder is None or not mac:
            return HeldImage(b"", now_s)
        name = mac if (self._folder / mac.replace(":", "-")).is_dir() else ""
        held = self._fresh.get(name)
        if held is None or held.fresh_until_s <= now_s:
            files = read_node_files(self._folder, *filter(None, [name]))
            held = HeldImage(node_image(files) if files else b"", now_s + _FRESH_S)
            self._fresh = {key: each for key, each in self._fresh.items() if each.fresh_until_s > now_s}
            self._fresh[name] = held
            while sum(len(each.data) for each in self._fresh.values()) > ROOM_BYTES:
                del self._fresh[next(iter(self._fresh))]
        return held

    def begin(self, held: HeldImage) -> bool:
        """Return whether there is room to send an image to one more, who is then counted until `end`."""
        if not held.readers:
            if sum(len(each.data) for each in self._sent) + len(held.data) > ROOM_BYTES:
                return False
            self._sent.append(held)
        held.readers += 1
        return True

    def end(self, held: HeldImage) -> None:
        """Take note that one is sent an image no longer."""
        held.readers -= 1
        if not held.readers:
            self._sent = [each for each in self._sent if each is not held]


class NodeImageResponse:
    """An image as an answer to `host`, in chunks, each at its turn."""

    def __init__(self, images: NodeImages, held: HeldImage, pacer: Pacer, host: str, *, chunk_bytes: int) -> None:
        self._images = images
        self._held = held
        self._pacer = pacer
        self._host = host
        self._chunk_bytes = chunk_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; where there is no room for it say that it is to be asked for again."""
        if not self._images.begin(self._held):
            await no_more_files()(scope, receive, send)
            return
        share = self._pacer.enter(self._host)
        try:
            data = self._held.data
            headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(data))]
            headers.append((b"cache-control", b"no-store"))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for at in range(0, len(data) if scope["method"] != "HEAD" else 0, self._chunk_bytes):
                chunk = data[at : at + self._chunk_bytes]
                await self._pacer.take(share, len(chunk))
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._pacer.leave(share)
            self._images.end(self._held)
