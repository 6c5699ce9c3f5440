"""What looking at one image may take, whatever it claims: a few kilobytes can be unpacked to terabytes, or to names.

Of an image only what is asked for is kept in memory, and that has a bound; so has how many entries are looked at. A
release beyond those is published unlooked at, with a note. One that is larger unpacked than any node is refused.
"""

from __future__ import annotations

from swarmboot.errors import ResourceError

NAMES_MAX_BYTES = 1 << 28
ENTRIES_MAX = 1 << 24
RUNTIME_MAX_BYTES = 1 << 28
"""What is kept of a leecher's image in an initramfs, to be looked into."""
_NODE_BYTES = 400
"""What a name takes beside its letters, about."""


class Bounds:
    """What has been looked at of the image `label`, and what has been kept of it."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._entries = 0
        self._kept_bytes = 0

    def look(self) -> None:
        """Take note of one more entry; raise ResourceError beyond ENTRIES_MAX."""
        self._entries += 1
        if self._entries > ENTRIES_MAX:
            raise ResourceError(f"{self._label} holds more than {ENTRIES_MAX} entries")

    def keep(self, *texts: str) -> None:
        """Take note of what is kept of an entry; raise ResourceError beyond NAMES_MAX_BYTES."""
        self._kept_bytes += _NODE_BYTES + sum(map(len, texts))
        if self._kept_bytes > NAMES_MAX_BYTES:
            raise ResourceError(f"{self._label} holds more names than there is room for, {NAMES_MAX_BYTES >> 20} MiB")
