"""The files that the stage-0 server hands out: kernels and initramfs, machines' own files, iPXE and a memory test."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from seeder.http.file_response import BlobResponse, OpenFiles, chunk_bytes_for, no_more_files
from seeder.http.pacer import Pacer

_BINARY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.(?:efi|kpxe|kkpxe|pxe|lkrn)\Z")


def no_such_file() -> Response:
    """Return the answer to who asks for what is not there."""
    return PlainTextResponse("no such file\n", status_code=404)


async def tell_nobody(_size_bytes: int) -> None:
    """Take note of nothing."""


class Stage0Files:
    """Opens files as answers, each piece sent at its turn on the uplink; `sent_bytes` counts what has left."""

    def __init__(self, pacer: Pacer, folders: tuple[Path, ...]) -> None:
        self.pacer = pacer
        self.sent_bytes = 0
        self._folders = folders
        self._files = OpenFiles()

    def open(
        self,
        request: Request,
        path: Path,
        media_type: str,
        tell: Callable[[int], Awaitable[None]] = tell_nobody,
        *,
        more: float = 0.0,
    ) -> Response:
        """Return a file as an answer; `tell` is awaited with the size of each piece before it leaves, at its turn.

        `more` is what it weighs beside the others on the uplink.
        """
        try:
            file = self._files.open(path)
        except OSError:
            return no_more_files()
        if file is None:
            return no_such_file()
        share = self.pacer.enter(request.client.host if request.client else "", more=more)

        async def count(size_bytes: int) -> None:
            await self.pacer.take(share, size_bytes)
            self.sent_bytes += size_bytes
            await tell(size_bytes)

        return BlobResponse(
            self._files,
            file,
            path,
            before_send=count,
            at_end=lambda: self.pacer.leave(share, more=more),
            media_type=media_type,
            chunk_bytes=self.chunk_bytes(1.0 + more),
        )

    def chunk_bytes(self, weight: float = 1.0) -> int:
        """Return how large the pieces of an answer of this weight are to be."""
        return chunk_bytes_for(self.pacer.rate_bytes_per_s, self._files.readers, weight=weight)

    def open_binary(self, request: Request, name: str, own: Path | None) -> Response:
        """Return a program for firmware: `own` if there is one by this name, else one out of iPXE's folders."""
        path = own
        if path is None and _BINARY.match(name):
            path = next((folder / name for folder in self._folders if (folder / name).is_file()), None)
        if path is None:
            return no_such_file()
        media_type = "application/efi" if name.endswith(".efi") else "application/octet-stream"
        return self.open(request, path, media_type)
