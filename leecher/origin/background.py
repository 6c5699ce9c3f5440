"""A node's exchanges with origins while it fetches, each in a thread of its own; they come back as facts."""

from __future__ import annotations

import threading
from collections.abc import Callable

from leecher.origin.connection_pool import Connections, Exchange
from leecher.origin.proving import Proving
from leecher.origin.range_request import Span, SpanExchange
from leecher.origin.small_request import Question
from leecher.policy.events import Answered, Ended, Fact, Received
from leecher.policy.node_policy import Run
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


class Exchanges:
    """Announces to `server` and fetches runs; `post` is called with every fact, in some thread."""

    def __init__(self, connections: Connections, server: str, post: Callable[[Fact], None], proving: Proving) -> None:
        self._connections = connections
        self._server = server
        self._post = post
        self._proving = proving
        self._under_way: set[Exchange] = set()
        self._runs: dict[int, SpanExchange] = {}

    def announce(self, announce: Announce) -> None:
        """Begin an announce; it comes back as Answered."""
        question = self.question(announce, ANNOUNCE_S)

        def work() -> None:
            try:
                question.run()
                handout = decode_handout(question.answer)
            except ForbiddenError:
                self._post(Answered(None, refused=announce.node))
            except ProofRefusedError as error:
                self._post(Answered(None, failure=error))
            except (TransferError, DecodeError):
                self._post(Answered(None))
            else:
                self._post(Answered(handout, has_joined=announce.port != 0))

        self._begin(question, work)

    def question(self, announce: Announce, silent_s: float) -> Question:
        """Return an announce as it is posted."""
        return Question(
            self._connections, f"{self._server}{ANNOUNCE_PATH}", max_bytes=HANDOUT_MAX_BYTES,
            body=encode_announce(announce), media_type=WIRE_TYPE, silent_s=silent_s,
            prover=self._proving.node(announce.node),
        )  # fmt: skip

    def fetch(self, run: Run, artifact: Artifact) -> None:
        """Begin to fetch a run; its pieces come back as Received, its end as Ended."""
        indices = iter(range(run.first, run.first + run.count))
        exchange = SpanExchange(
            self._connections, span_of(run, artifact), lambda data: self._post(Received(run, next(indices), data))
        )

        self._runs[run.number] = exchange

        def work() -> None:
            try:
                exchange.run()
            except TransferError as error:
                self._post(Ended(run, error))
            else:
                self._post(Ended(run, None))
            finally:
                self._runs.pop(run.number, None)

        self._begin(exchange, work)

    def progress(self) -> list[tuple[int, int]]:
        """Return how many bytes have come of each run under way, by its number."""
        return [(number, exchange.received_bytes) for number, exchange in list(self._runs.items())]

    def abort(self, run: Run) -> None:
        """End a run; it comes back as Ended, with what has come of it before."""
        exchange = self._runs.get(run.number)
        if exchange is not None:
            exchange.tear()

    def _begin(self, exchange: Exchange, work: Callable[[], None]) -> None:
        self._under_way.add(exchange)

        def run() -> None:
            try:
                work()
            finally:
                self._under_way.discard(exchange)

        threading.Thread(target=run, name="exchange", daemon=True).start()

    def tear(self) -> None:
        """Tear down what is under way."""
        for exchange in list(self._under_way):
            exchange.tear()


def span_of(run: Run, artifact: Artifact) -> Span:
    """Return the bytes of an artifact's blob that a run stands for."""
    first_byte = run.first * artifact.piece_bytes
    size_bytes = min(run.count * artifact.piece_bytes, artifact.size_bytes - first_byte)
    return Span(f"{run.origin}/{layout.blob_path(artifact.sha256)}", first_byte, size_bytes, artifact.piece_bytes)
