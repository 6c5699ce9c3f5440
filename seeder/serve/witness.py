"""What the seeder itself sees go out: whether the runs of pieces that it leased are fetched.

It tells the registry, which believes this more than what nodes say. It will not send anything itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from seeder.policy.facts.registry import Registry
from seeder.site.catalogue import Catalogue
from swarmboot.release.piece_set import piece_count

_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})\Z")


class Witness:
    """Watches answers to requests for blobs."""

    def __init__(self, registry: Registry, catalogue: Catalogue) -> None:
        self._registry = registry
        self._catalogue = catalogue

    def watch(self, digest: str, wanted: str, *, host: str) -> Callable[[int], None] | None:
        """Return what is to be told of every chunk's size before it goes out, or None if it is no run of pieces.

        `digest` is the blob's in hexadecimal digits, `wanted` the request's Range header (RFC 9110 section 14.2).
        """
        match, artifact = _RANGE.match(wanted), self._catalogue.artifacts.get(digest)
        if match is None or artifact is None:
            return None
        first_byte, left_bytes = int(match[1]), int(match[2]) + 1 - int(match[1])
        first, beyond = divmod(first_byte, artifact.piece_bytes)
        pieces = piece_count(left_bytes, artifact.piece_bytes)
        is_whole = left_bytes % artifact.piece_bytes == 0 or first_byte + left_bytes == artifact.size_bytes
        if beyond or left_bytes <= 0 or not is_whole:
            return None
        self._registry.begun(host, artifact.info_hash, first, pieces)

        def see(size_bytes: int) -> None:
            nonlocal left_bytes
            if 0 < left_bytes <= size_bytes:
                self._registry.went_out(host, artifact.info_hash, first, pieces)
            left_bytes -= size_bytes

        return see
