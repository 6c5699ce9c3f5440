"""A boot's first questions, asked while the rest of the program is still being imported.

trio and libtorrent take most of a start (docs/performance.md), and until a whole rack has imported them its seeder
would have nothing to do. So the signed documents, the first announces and the first leases are asked for from plain
threads, with what the standard library and the signatures need. The same policy decides what to ask; when the boot is
there it takes over the policy, what has come in, and what is still on its way. It will not verify pieces: that is
libtorrent's part, and nothing counts before. Whatever goes wrong ends the head start, and the boot does it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from random import Random

from leecher.choice import choose, is_begun
from leecher.connections import Connections, Exchange, tls_context
from leecher.policy import AnnounceRequest, FetchRequest, Policy, Run, Wanted
from leecher.question import Question
from leecher.release import Demands, Release, Request, open_release, torrents_of
from leecher.span import Span, SpanExchange
from swarmboot import pieces as sets
from swarmboot import site
from swarmboot.codec import DecodeError
from swarmboot.errors import SwarmbootError, TransferError, TrustError
from swarmboot.ids import InfoHash, Sequence, new_node_id
from swarmboot.keyfile import read_trust
from swarmboot.manifest import Artifact
from swarmboot.settings import NodeSettings
from swarmboot.wire import (
    ANNOUNCE_PATH,
    HANDOUT_MAX_BYTES,
    WIRE_TYPE,
    Announce,
    Handout,
    decode_handout,
    encode_announce,
)

ANNOUNCE_S = 5.0
FIRST_S = 0.5
HELD_MOST_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Answered:
    """Occurs when the seeder has answered an announce; without a handout if it has not, or with nonsense."""

    handout: Handout | None


@dataclass(frozen=True, slots=True)
class Received:
    """Occurs when a piece of a run is in, not verified."""

    run: Run
    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """Occurs when a run has been received whole, or has failed."""

    run: Run
    failure: TransferError | None


Fact = Answered | Received | Ended


class HeadStart:
    """One boot's head start. `begin` it, import the rest, and give it to the boot.

    Raises KeyFileError if the certificate authority is unusable.
    """

    def __init__(self, settings: NodeSettings, *, is_unpacked: bool = False) -> None:
        self.node = new_node_id()
        self.connections = Connections(tls_context(settings.ca), bind=settings.bind)
        self.random = Random(self.node)
        self._policy: Policy | None = None
        self._settings = settings
        self._is_unpacked = is_unpacked
        self._artifacts: dict[InfoHash, Artifact] = {}
        self._release: Release | None = None
        self._failure: TransferError | TrustError | None = None
        self._has_read = threading.Event()
        self._has_asked = threading.Event()
        self._thread = threading.Thread(target=self._run, name="head start", daemon=True)
        self._lock = threading.Lock()
        self._facts: SimpleQueue[Fact | None] = SimpleQueue()
        self._sink: Callable[[Fact], None] | None = None
        self._held: list[Fact] = []
        self._held_bytes = 0
        self._under_way: set[Exchange] = set()

    def begin(self) -> HeadStart:
        """Start asking; return this head start."""
        self._thread.start()
        return self

    def wait(self) -> None:
        """Wait until the seeder has answered the first announce, or the end of the head start, `FIRST_S` at most.

        Importing meanwhile would delay just what is to be early: where processors are few, even the seeder's answers.
        """
        self._has_asked.wait(FIRST_S)

    def release(self) -> Release | None:
        """Wait for the release and return it with its torrents, or None if there is none to be had this way.

        Raises TransferError and TrustError as the reading of it did.
        """
        self._has_read.wait()
        if self._failure is not None:
            raise self._failure
        return self._release

    def take_over(self, wanted: Collection[InfoHash]) -> Policy | None:
        """Stop deciding, and return the policy to go on with; None if it was not about these torrents."""
        if not self._has_read.is_set():
            return None
        self._facts.put(None)
        self._thread.join()
        return self._policy if self._policy and self._policy.wanted.keys() == set(wanted) else None

    def hand_over(self, sink: Callable[[Fact], None]) -> list[Fact]:
        """Return what has come in and is not dealt with yet; what comes in later goes to `sink`, in some thread.

        Call it after `take_over`.
        """
        with self._lock:
            self._sink = sink
            while not self._facts.empty():
                fact = self._facts.get()
                if fact is not None:
                    self._held.append(fact)
        return self._held

    def abandon(self) -> None:
        """Stop, and tear down what is under way; does nothing after the end."""
        self._facts.put(None)
        for exchange in list(self._under_way):
            exchange.tear()

    def _run(self) -> None:
        """Read the release, and fetch as long as nothing fails and nobody takes over."""
        try:
            self._read_and_fetch()
        finally:
            self._has_asked.set()

    def _read_and_fetch(self) -> None:
        try:
            artifacts = self._read()
        except (TransferError, TrustError) as error:
            self._failure = error
            return
        except (SwarmbootError, OSError):
            return  # the boot comes to the same, and says so
        finally:
            self._has_read.set()
        if artifacts:
            self._fetch(artifacts)

    def _read(self) -> tuple[Artifact, ...]:
        """Read the release, and return the artifacts to begin to fetch: none where an earlier run has left some."""
        settings = self._settings
        demands = Demands(read_trust(settings.trust), settings.channel, Sequence(settings.floor))
        asking = open_release(demands)
        request = next(asking)
        try:
            while True:
                request = asking.send(self._document(request))
        except StopIteration as done:
            release: Release = done.value
        settings.into.mkdir(parents=True, exist_ok=True)
        artifacts = choose(release.manifest, settings, is_unpacked=self._is_unpacked).artifacts
        for path, request in torrents_of(artifacts).items():
            release.documents[path] = self._document(request)
        self._release = release
        return () if any(is_begun(artifact, settings.into) for artifact in artifacts) else artifacts

    def _document(self, request: Request) -> bytes:
        question = Question(self.connections, f"{self._settings.server}/{request.path}", max_bytes=request.max_bytes)
        self._ask(question)
        return question.answer

    def _ask(self, exchange: Exchange) -> None:
        self._under_way.add(exchange)
        try:
            exchange.run()
        finally:
            self._under_way.discard(exchange)

    def _fetch(self, artifacts: tuple[Artifact, ...]) -> None:
        """Act on the policy until a request fails or the boot takes over."""
        self._artifacts = {artifact.info_hash: artifact for artifact in artifacts}
        wanted = {each.info_hash: Wanted(each.info_hash, each.pieces, each.piece_bytes) for each in artifacts}
        policy = Policy(wanted, origin=self._settings.server, now_s=time.monotonic(), random=self.random)
        self._policy = policy
        is_well = True
        while is_well:
            now_s = time.monotonic()
            policy.still_starting(has_room=self._held_bytes < HELD_MOST_BYTES, now_s=now_s)
            for request in policy.requests(now_s=now_s):
                match request:
                    case AnnounceRequest():
                        self._in_thread(partial(self._announce, request))
                    case FetchRequest(run):
                        self._in_thread(partial(self._fetch_run, run))
            try:
                fact = self._facts.get(timeout=max(0.0, policy.next_wake_s(now_s=now_s) - now_s))
            except Empty:
                continue
            is_well = fact is not None and self._take(policy, fact)

    def _take(self, policy: Policy, fact: Fact) -> bool:
        """Tell the policy; return whether all is well. Pieces are held for the boot."""
        match fact:
            case Answered(handout):
                self._has_asked.set()
                if handout is None:
                    policy.announce_failed(now_s=time.monotonic())
                    return False
                policy.handout_arrived(handout, now_s=time.monotonic())
            case Received():
                self._held.append(fact)
                self._held_bytes += len(fact.data)
            case Ended(run, failure):
                policy.run_ended(run.number, is_whole=failure is None, now_s=time.monotonic())
                return failure is None
        return True

    def _in_thread(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="head start", daemon=True).start()

    def _put(self, fact: Fact) -> None:
        with self._lock:
            if self._sink is None:
                self._facts.put(fact)
            else:
                self._sink(fact)

    def _announce(self, request: AnnounceRequest) -> None:
        assert self._release is not None
        announce = Announce(
            node=self.node,
            sequence=self._release.manifest.sequence,
            state=request.state,
            port=0,
            rack=self._settings.rack,
            have={h: sets.encode(0, artifact.pieces) for h, artifact in self._artifacts.items()},
            slots=request.slots,
            received=request.received,
            returned=request.returned,
            from_origin_bytes=self._held_bytes,
        )
        question = Question(
            self.connections, f"{self._settings.server}{ANNOUNCE_PATH}", max_bytes=HANDOUT_MAX_BYTES,
            body=encode_announce(announce), media_type=WIRE_TYPE, silent_s=ANNOUNCE_S,
        )  # fmt: skip
        try:
            self._ask(question)
            self._put(Answered(decode_handout(question.answer)))
        except (TransferError, DecodeError):
            self._put(Answered(None))

    def _fetch_run(self, run: Run) -> None:
        span = span_of(run, self._artifacts[run.info_hash])
        indices = iter(range(run.first, run.first + run.count))
        exchange = SpanExchange(self.connections, span, lambda data: self._put(Received(run, next(indices), data)))
        try:
            self._ask(exchange)
        except TransferError as error:
            self._put(Ended(run, error))
        else:
            self._put(Ended(run, None))


def span_of(run: Run, artifact: Artifact) -> Span:
    """Return the bytes of an artifact's blob that a run stands for."""
    first_byte = run.first * artifact.piece_bytes
    size_bytes = min(run.count * artifact.piece_bytes, artifact.size_bytes - first_byte)
    return Span(f"{run.origin}/{site.blob_path(artifact.sha256)}", first_byte, size_bytes, artifact.piece_bytes)
