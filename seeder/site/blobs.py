"""Images that a signed manifest names, out of a site that somebody else may have written to since.

A blob is called by its digest, which says nothing of its bytes: whoever signs or hands them on has them hashed as they
are read. It believes the manifest that it is given; `seeder.site.reader` says whose that is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from swarmboot.errors import BlobError
from swarmboot.release import layout
from swarmboot.release.manifest import Artifact

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Blob:
    """One image of a manifest, in a site; its size is what the manifest says, in bytes."""

    site: Path
    artifact: Artifact

    @property
    def size_bytes(self) -> int:
        """Return the size that the manifest says."""
        return self.artifact.size_bytes

    def check(self) -> None:
        """Raise BlobError for other bytes than those that were published."""
        for _ in self._chunks():
            pass

    def read(self) -> bytes:
        """Return its bytes; raise BlobError for others than those that were published."""
        return b"".join(self._chunks())

    def copy(self, path: Path) -> None:
        """Write its bytes to a file; raise BlobError, and leave no file, for others than those that were published."""
        with ExitStack() as undone:
            undone.callback(path.unlink, missing_ok=True)
            with path.open("wb") as file:
                for chunk in self._chunks():
                    file.write(chunk)
            undone.pop_all()

    def is_in(self, path: Path) -> bool:
        """Return whether a file has its bytes."""
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest() == self.artifact.sha256
        except FileNotFoundError:
            return False

    def _chunks(self) -> Iterator[bytes]:
        """Yield its bytes in order, at most as many as it has; raise BlobError after the last of others."""
        path, digest, left = self.site / layout.blob_path(self.artifact.sha256), hashlib.sha256(), self.size_bytes
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would block
            with os.fdopen(descriptor, "rb") as file:
                is_whole = os.fstat(descriptor).st_size == left
                while is_whole and left and (chunk := file.read(min(left, _CHUNK_BYTES))):
                    digest.update(chunk)
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise BlobError(f"{path} cannot be read: {error.strerror}", hint="publish again") from error
        if digest.digest() != self.artifact.sha256:
            raise BlobError(
                f"{path} is not the {self.artifact.role} that was published",
                expected=f"{self.size_bytes} bytes with this digest", found="others",
                hint="delete it and publish again",
            )  # fmt: skip
