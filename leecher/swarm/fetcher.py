"""Carries out the policy's requests: announces, fetches, dials neighbours, and tells the policy what happened.

One writer of state: `step` takes in what has come and acts on it. Requests to origins run in threads of their own,
whose facts wait until the next step. Whoever calls `step` does the waiting: `leecher.boot.head_start` before trio is
there, `leecher.swarm.fetch_loop` afterwards. A node announces and fetches leases before it has a swarm; from when it
has joined one it can be dialled, and what it fetched is verified and counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from leecher.cache.plan import CopyPlan
from leecher.origin.background import BackgroundRequests
from leecher.origin.connection_pool import Connections
from leecher.policy.events import (
    AnnounceAnswered,
    Event,
    Fact,
    NeighbourBanned,
    PieceCopied,
    PieceFailed,
    PieceFinished,
    PieceRead,
    PieceReceived,
    RangeEnded,
)
from leecher.policy.node_policy import Policy, Wanted
from leecher.policy.requests import AbortRequest, AnnounceRequest, ConnectRequest, FetchRequest
from leecher.swarm.announcer import Announcer
from leecher.swarm.cached import Cached
from leecher.swarm.counters import BootCounters
from leecher.swarm.dialler import Dialler
from leecher.swarm.inbox import Inbox
from leecher.swarm.origin_ranges import OriginRanges
from leecher.swarm.piece_intake import PieceIntake
from leecher.swarm.places import Places
from swarmboot.errors import ProofRefusedError, TransferError
from swarmboot.ids import Digest, InfoHash, PieceIndex, Sequence
from swarmboot.release import layout
from swarmboot.release import piece_set as sets
from swarmboot.release.manifest import Artifact
from swarmboot.release.piece_set import Pieces
from swarmboot.settings import NodeSettings
from swarmboot.text.addresses import is_loopback
from swarmboot.wire.announce import Handout, Neighbour

if TYPE_CHECKING:
    from leecher.swarm.reads import Reads
    from leecher.swarm.session import Swarm

CHECKING_S = 1.0
GONE_S = 1.0


class Fetcher:
    """One node's part in the swarm from its first announce until it leaves.

    `keeps_old` is as in `leecher.swarm.places`. `inbox.wake` is called, in any thread, when a step has something to
    take in: `wake` until somebody else is to be woken. `announcer.heard` is what the seeder said. `reads` are those of
    a lazy window, if this boot has one; `plan` says what a cache has, if this node has one.
    """

    def __init__(
        self,
        connections: Connections,
        settings: NodeSettings,
        counters: BootCounters,
        artifacts: tuple[Artifact, ...],
        *,
        sequence: Sequence,
        random: Random,
        tell: Callable[[str], None],
        keeps_old: bool = True,
        plan: CopyPlan | None = None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.swarm: Swarm | None = None
        self.reads: Reads | None = None
        self.last_failure: TransferError | None = None
        self.inbox = Inbox(wake)
        self._artifacts = known = {artifact.info_hash: artifact for artifact in artifacts}
        self._due_s = 0.0
        self.places = Places(
            known, settings.into, keeps_old=keeps_old, reserve_bytes=settings.reserve_bytes, wake=self.inbox.hurry
        )
        first = {h: each.first if settings.lazy else 0 for h, each in known.items()}
        wanted = {h: Wanted(h, each.pieces, each.piece_bytes, first[h]) for h, each in known.items()}
        self.policy = policy = Policy(wanted, origin=settings.server, now_s=time.monotonic(), random=random)
        self._requests = requests = BackgroundRequests(connections, settings.server, self.inbox.post, counters.proving)
        self.announcer = Announcer(requests, settings, counters, policy, known, sequence=sequence, tell=tell)
        own = settings.bind or urlsplit(settings.server).hostname or ""
        self._dialler = Dialler(known.keys(), counters, is_here=is_loopback(own), tell=tell)
        self._intake = PieceIntake(known, policy, counters, sequence, self._layer_of)
        self._ranges = OriginRanges(requests, policy, counters, tell)
        self._documents: dict[str, bytes] = {}
        self._cached: Cached | None = None
        if plan is not None:
            counters.has_cache = True
            self._cached = Cached(plan, known, policy, self._intake, post=self.inbox.post, tell=tell)

    @property
    def has_joined(self) -> bool:
        """Return whether this node can be dialled."""
        return self.announcer.port != 0

    @property
    def is_complete(self) -> bool:
        """Return whether every piece is there, of what was added later too."""
        return self.has_joined and self.policy.is_complete

    @property
    def is_gone(self) -> bool:
        """Return whether no origin has what the manifest names, as they all say, and nothing comes from elsewhere."""
        is_left = self._ranges.is_nowhere and not self.is_complete
        return is_left and self.policy.idle_s(now_s=time.monotonic()) >= GONE_S

    def have(self, info_hash: InfoHash) -> Pieces:
        """Return the pieces of a torrent that are there."""
        return self.policy.have[info_hash]

    def received_bytes(self) -> int:
        """Return the payload received from neighbours, pieces that failed their hash included."""
        return self.swarm.received_bytes() if self.swarm else 0

    def join(self, swarm: Swarm, documents: dict[str, bytes]) -> None:
        """Bring the artifacts into a swarm, with whatever an earlier run left behind; takes a few steps.

        Raises ManifestError if a torrent among the documents is not the one that the manifest names, ResourceError if
        the folder for what is not whole is somebody else's.
        """
        self.swarm, self._documents = swarm, dict(documents)
        self._dialler.use(swarm)
        swarm.expect_links(self.announcer.heard.uplink_bytes_per_s)
        self.places.begin(swarm, documents)

    def add_later(self, artifact: Artifact, torrent: bytes) -> None:
        """Fetch one more artifact, at low priority; the swarm must have checked it."""
        assert self.swarm is not None
        self._documents[layout.torrent_path(artifact.info_hash)] = torrent
        self._artifacts[artifact.info_hash] = artifact
        wanted = Wanted(artifact.info_hash, artifact.pieces, artifact.piece_bytes)
        self.policy.want_later(wanted, now_s=time.monotonic())
        self._dialler.start(artifact.info_hash)
        self._already_have(artifact.info_hash, self.swarm.pieces(artifact.info_hash))
        self.inbox.hurry()

    def serve(self, digests: tuple[Digest, ...]) -> None:
        """Announce that this node serves these."""
        self.announcer.serves = digests
        self.policy.tell_soon()
        self.inbox.hurry()

    def tell_loads(self, count: int) -> None:
        """Announce to how many machines this node has sent stage 0."""
        self.announcer.loads_sent = count
        self.policy.tell_soon()
        self.inbox.hurry()

    def meet(self, neighbours: tuple[Neighbour, ...]) -> None:
        """Take note of neighbours found on the LAN."""
        strangers = self._dialler.strangers(neighbours)
        if strangers:
            self.policy.neighbours_found(strangers)
            self.inbox.hurry()

    def move(self) -> None:
        """Announce at once: this node's addresses have changed."""
        self.policy.address_changed()
        self.inbox.hurry()

    def close(self) -> None:
        """Tear down what is under way and leave the swarm."""
        self._requests.abort_all()
        if self._cached is not None:
            self._cached.close()
        if self.swarm is not None:
            self.swarm.close()

    def step(self) -> float:
        """Take in what has come and act on the policy; return for how many seconds there is nothing to do.

        Raises ArtifactError if an origin serves other bytes than were signed, SpaceError if images cannot be written,
        ResourceError if libtorrent does not take what is handed in, PortInUseError if neighbours cannot dial this node.
        """
        for fact in self.inbox.take():
            self._hear(fact)
        if self.swarm is not None:
            for event in self.swarm.events():
                self._take(event)
            if not self.has_joined:
                self._try_to_join(self.swarm)
        if not (self.has_joined or self.places.is_fresh):
            return CHECKING_S  # first it must be known what an earlier run has left behind
        now_s = time.monotonic()
        if self.inbox.is_woken or now_s >= self._due_s:
            self._ask(now_s)
        self._dialler.step(now_s)
        return max(0.0, self._dialler.due_s(self._due_s) - now_s)

    def _ask(self, now_s: float) -> None:
        """Ask the policy and act."""
        self.inbox.is_woken = False
        if not self.has_joined:
            self.policy.still_starting(has_room=self._intake.has_room, now_s=now_s)
        else:
            self._intake.tell(now_s=now_s)
        if self.reads is not None:
            self.reads.step(now_s=now_s)
        self._ranges.tell_progress(now_s=now_s)
        for request in self.policy.requests(now_s=now_s):
            match request:
                case AbortRequest(piece_range):
                    self._ranges.abort(piece_range)
                case AnnounceRequest():
                    self.announcer.announce(request)
                case FetchRequest(piece_range):
                    self._ranges.fetch(piece_range, self._artifacts[piece_range.info_hash])
                case ConnectRequest(neighbours):
                    self._dialler.dial(neighbours)
        self._due_s = self.policy.next_wake_s(now_s=now_s)
        if self.reads is not None:
            self._due_s = min(self._due_s, self.reads.next_wake_s())
        if self._cached is not None:
            rate = self.announcer.heard.uplink_bytes_per_s
            self._due_s = min(self._due_s, self._cached.step(network_bytes_per_s=rate, now_s=now_s))

    def _layer_of(self, info_hash: InfoHash) -> tuple[bytes, ...]:
        from leecher.swarm.metadata import layer_of

        return layer_of(self._artifacts[info_hash], self._documents[layout.torrent_path(info_hash)])

    def _try_to_join(self, swarm: Swarm) -> None:
        """Begin as a neighbour once it can be dialled and every torrent takes pieces."""
        port = swarm.port
        if not self.places.settle(swarm) or not port:
            return
        self.announcer.port = port
        self._dialler.begin_soon(time.monotonic())
        for info_hash in self._artifacts:
            self._already_have(info_hash, swarm.pieces(info_hash))
        self._intake.open(swarm, now_s=time.monotonic())
        if self._cached is not None:
            self._cached.begin(swarm, self._layer_of, now_s=time.monotonic())
        self.policy.started(now_s=time.monotonic())
        self.inbox.is_woken = True

    def _hear(self, fact: Fact) -> None:
        """Take note of what a request to an origin has brought."""
        now_s = time.monotonic()
        match fact:
            case AnnounceAnswered(refused=node) if node is not None:
                self.announcer.refused(node, now_s=now_s)
            case AnnounceAnswered(failure=error) if error is not None:
                is_news = not isinstance(self.last_failure, ProofRefusedError)
                self.last_failure = error
                self.announcer.unproved(error, is_news=is_news, now_s=now_s)
            case AnnounceAnswered(handout, has_joined):
                self._answered(handout, has_joined=has_joined)
            case PieceReceived():
                self._intake.received(fact, now_s=now_s)  # whether it counts is told by `_take`
                return
            case PieceCopied(data=data):
                if self._cached is not None:
                    self._cached.hear(fact, now_s=now_s)
                if data is not None:
                    return
            case PieceRead():
                if self.reads is not None:
                    self.reads.hear(fact, now_s=now_s)
            case RangeEnded(piece_range, failure):
                self.last_failure = failure or self.last_failure
                self._ranges.ended(piece_range, failure, now_s=now_s)
        self.inbox.is_woken = True

    def _answered(self, handout: Handout | None, *, has_joined: bool) -> None:
        known_bytes_per_s = self.announcer.heard.uplink_bytes_per_s
        self.announcer.answered(handout, now_s=time.monotonic())
        if handout is not None and has_joined and not handout.neighbours and not self._dialler.is_dialling:
            self._dialler.dial(())  # the first to announce: those who come next will dial this node
        uplink_bytes_per_s = self.announcer.heard.uplink_bytes_per_s
        if self.swarm is not None and uplink_bytes_per_s != known_bytes_per_s:
            self.swarm.expect_links(uplink_bytes_per_s)  # the seeder's link is taken for one like all others

    def _take(self, event: Event) -> None:
        """Tell the policy what libtorrent reports, but of one that is still checked: `add_later` asks then."""
        match event:
            case PieceFinished(info_hash) | PieceFailed(info_hash) if info_hash not in self._artifacts:
                return
            case PieceFinished(info_hash, index):
                self.policy.piece_arrived(info_hash, index, now_s=time.monotonic())
                self._intake.finished(info_hash, index)
                if self.reads is not None:
                    self.reads.arrived(info_hash, index)
                if self._cached is not None:
                    self._cached.arrived(info_hash, PieceIndex(index))
                self._count()
            case PieceFailed(info_hash, index):
                self._intake.failed(info_hash, index)
                if self._cached is not None:
                    self._cached.failed(info_hash, PieceIndex(index))
            case NeighbourBanned(address):
                self._dialler.ban(address)

    def _already_have(self, info_hash: InfoHash, have: Pieces) -> None:
        for index in sets.each(have):
            self.policy.piece_arrived(info_hash, index, now_s=time.monotonic())
            if self._cached is not None:
                self._cached.arrived(info_hash, index)
        self._count()

    def _count(self) -> None:
        """Count what is there, and be a seed once that is all."""
        self._intake.count()
        if self.policy.is_complete and self.swarm is not None:
            self.swarm.seed()
            if self._cached is not None:
                self._cached.close()
            self.inbox.is_woken = True
