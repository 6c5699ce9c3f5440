"""What the hostile guests have in common: they speak the announce protocol to the seeder, over its TLS, and lie.

They know no more than any host on the LAN: the seeder's address, its authority's certificate, a site's public files.
"""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import libtorrent as lt

from swarmboot.codec import DecodeError
from swarmboot.ids import InfoHash, Sequence
from swarmboot.release import piece_set
from swarmboot.release.layout import manifest_numbers
from swarmboot.wire.announce import ANNOUNCE_PATH, HANDOUT_MAX_BYTES, WIRE_TYPE, decode_handout, encode_announce

if TYPE_CHECKING:
    from swarmboot.wire.announce import Announce, Handout

RETRY_S = 0.2


class Announcer:
    """One connection to the seeder, dialled again when it breaks; `source` is the address to speak from."""

    def __init__(self, server: str, ca: Path, *, source: str = "", timeout_s: float = 30.0) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        given: tuple[str, int] | None = (source, 0) if source else None
        self._connection = http.client.HTTPSConnection(server, context=context, source_address=given, timeout=timeout_s)

    def announce(self, announce: Announce) -> Handout | None:
        """Return what the seeder answers, or None if it does not, or refuses."""
        try:
            self._connection.request(
                "POST", ANNOUNCE_PATH, body=encode_announce(announce), headers={"content-type": WIRE_TYPE}
            )
            answer = self._connection.getresponse()
            body = answer.read(HANDOUT_MAX_BYTES + 1)
            return decode_handout(body) if answer.status == http.client.OK else None
        except (OSError, http.client.HTTPException, DecodeError):
            self._connection.close()
            return None


class Torrents:
    """The torrents of a site's newest manifest but for stage 0: what a rack is fetching."""

    def __init__(self, site: Path) -> None:
        newest: dict[InfoHash, Any] = {}
        for path in sorted((site / "torrents").glob("*.torrent"), key=lambda path: path.stat().st_mtime_ns):
            found = lt.torrent_info(str(path))
            newest[InfoHash(found.info_hashes().v2.to_bytes())] = found
        self.by_hash = newest
        self.sequence = Sequence(manifest_numbers(site)[-1])

    def everything(self) -> dict[InfoHash, bytes]:
        """Return the claim to have every piece of every torrent, as an announce has it."""
        return {each: piece_set.encode(piece_set.all_pieces(count), count) for each, count in self._counts.items()}

    def nothing(self) -> dict[InfoHash, bytes]:
        """Return the claim to have no piece yet of any torrent."""
        return {each: piece_set.encode(0, count) for each, count in self._counts.items()}

    @property
    def _counts(self) -> dict[InfoHash, int]:
        return {info_hash: found.num_pieces() for info_hash, found in self.by_hash.items()}
