"""A node's requests to origins while it fetches, each in a thread of its own; they come back as facts."""

from __future__ import annotations

import threading
from collections.abc import Callable

from leecher.origin.connection_pool import Connections, Request
from leecher.origin.proving import Proving
from leecher.origin.range_request import ByteRange, RangeRequest
from leecher.origin.small_request import SmallRequest
from leecher.policy.events import AnnounceAnswered, Fact, PieceReceived, RangeEnded
from leecher.policy.requests import PieceRange
from swarmboot.codec import DecodeError
from swarmboot.errors import ForbiddenError, ProofRefusedError, TransferError
from swarmboot.release import layout
from swarmboot.release.manifest import Artifact
from swarmboot.wire.announce import (
    ANNOUNCE_PATH,
    HANDOUT_MAX_BYTES,
    WIRE_TYPE,
    Announce,
    decode_handout,
    encode_announce,
)

ANNOUNCE_S = 5.0


class BackgroundRequests:
    """Announces to `server` and fetches ranges of pieces; `post` is called with every fact, in some thread."""

    def __init__(self, connections: Connections, server: str, post: Callable[[Fact], None], proving: Proving) -> None:
        self._connections = connections
        self._server = server
        self._post = post
        self._proving = proving
        self._under_way: set[Request] = set()
        self._ranges: dict[int, RangeRequest] = {}

    @property
    def own_end(self) -> str:
        """Return the address at this end of the connection to the server; nothing before there was one."""
        return self._connections.own_end(self._server)

    def announce(self, announce: Announce) -> None:
        """Begin an announce; it comes back as AnnounceAnswered, at once if there is no server."""
        if not self._server:
            self._post(AnnounceAnswered(None))
            return
        request = self.posted(announce, ANNOUNCE_S)

        def work() -> None:
            try:
                request.run()
                handout = decode_handout(request.answer)
            except ForbiddenError:
                self._post(AnnounceAnswered(None, refused=announce.node))
            except ProofRefusedError as error:
                self._post(AnnounceAnswered(None, failure=error))
            except (TransferError, DecodeError):
                self._post(AnnounceAnswered(None))
            else:
                self._post(AnnounceAnswered(handout, has_joined=announce.port != 0))

        self._begin(request, work)

    def posted(self, announce: Announce, silent_s: float) -> SmallRequest:
        """Return the request that posts an announce."""
        return SmallRequest(
            self._connections, f"{self._server}{ANNOUNCE_PATH}", max_bytes=HANDOUT_MAX_BYTES,
            body=encode_announce(announce), media_type=WIRE_TYPE, silent_s=silent_s,
            prover=self._proving.node(announce.node),
        )  # fmt: skip

    def fetch(self, piece_range: PieceRange, artifact: Artifact) -> None:
        """Begin to fetch a range; its pieces come back as PieceReceived, its end as RangeEnded."""
        indices = iter(range(piece_range.first, piece_range.first + piece_range.count))
        request = RangeRequest(
            self._connections,
            byte_range_of(piece_range, artifact),
            lambda data: self._post(PieceReceived(piece_range, next(indices), data)),
        )

        self._ranges[piece_range.number] = request

        def work() -> None:
            try:
                request.run()
            except TransferError as error:
                self._post(RangeEnded(piece_range, error))
            else:
                self._post(RangeEnded(piece_range, None))
            finally:
                self._ranges.pop(piece_range.number, None)

        self._begin(request, work)

    def progress(self) -> list[tuple[int, int]]:
        """Return how many bytes have come of each range under way, by its number."""
        return [(number, request.received_bytes) for number, request in list(self._ranges.items())]

    def abort(self, piece_range: PieceRange) -> None:
        """End a range; it comes back as RangeEnded, with what has come of it before."""
        request = self._ranges.get(piece_range.number)
        if request is not None:
            request.abort()

    def _begin(self, request: Request, work: Callable[[], None]) -> None:
        self._under_way.add(request)

        def run() -> None:
            try:
                work()
            finally:
                self._under_way.discard(request)

        threading.Thread(target=run, name="request", daemon=True).start()

    def abort_all(self) -> None:
        """Abort what is under way."""
        for request in list(self._under_way):
            request.abort()


def byte_range_of(piece_range: PieceRange, artifact: Artifact) -> ByteRange:
    """Return the bytes of an artifact's blob that a range of its pieces stands for."""
    first_byte = piece_range.first * artifact.piece_bytes
    size_bytes = min(piece_range.count * artifact.piece_bytes, artifact.size_bytes - first_byte)
    return ByteRange(
        f"{piece_range.origin}/{layout.blob_path(artifact.sha256)}", first_byte, size_bytes, artifact.piece_bytes
    )
