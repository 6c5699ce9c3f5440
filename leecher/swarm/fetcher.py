"""Carries out the policy's requests: announces, fetches, dials neighbours, and tells the policy what happened.

One writer of state: `step` takes in what has come and acts on it. Requests to origins run in threads of their own,
whose facts wait until the next step. Whoever calls `step` does the waiting: `leecher.boot.head_start` before trio is
there, `leecher.swarm.fetch_loop` afterwards. A node announces and fetches leases before it has a swarm; from when it
has joined one it can be dialled, and what it fetched is verified and counts.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from leecher.origin.background import BackgroundRequests
from leecher.origin.connection_pool import Connections
from leecher.origin.small_request import SmallRequest
from leecher.policy.events import (
    AnnounceAnswered,
    Event,
    Fact,
    NeighbourBanned,
    PieceFailed,
    PieceFinished,
    PieceReceived,
    RangeEnded,
)
from leecher.policy.node_policy import (
    AbortRequest,
    AnnounceRequest,
    ConnectRequest,
    FetchRequest,
    PieceRange,
    Policy,
    Wanted,
)
from leecher.swarm.counters import BootCounters
from leecher.swarm.places import Places, is_begun
from swarmboot.addresses import is_dialable, is_loopback
from swarmboot.errors import ArtifactError, OriginError, ProofRefusedError, ResourceError, TransferError
from swarmboot.ids import Digest, InfoHash, NodeId, Sequence
from swarmboot.release import piece_set as sets
from swarmboot.release.manifest import Artifact
from swarmboot.release.piece_set import Pieces
from swarmboot.settings import NodeSettings
from swarmboot.wire.about import About
from swarmboot.wire.announce import Announce, Handout, Neighbour, NodeState
from swarmboot.wire.report import BANS_MAX

if TYPE_CHECKING:
    from leecher.swarm.session import Swarm

LEAVE_S = 1.0
START_S = 0.3
CHECKING_S = 1.0
GONE_S = 1.0
HELD_MAX_BYTES = 32 << 20
"""So much may wait in memory for libtorrent to be there."""
_FAILURES_OF_A_PIECE = 3
_REFUSALS_OF_A_PIECE = 3


class Fetcher:
    """One node's part in the swarm from its first announce until it leaves.

    `keeps_old` is as in `leecher.swarm.places`. `wake` is called, in any thread, when a step has something to take in.
    `is_stage0_wanted` and `is_hidden` are what the seeder said.
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
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.wake = wake
        self.swarm: Swarm | None = None
        self.http_port = 0
        self.is_stage0_wanted = False
        self.is_hidden = False
        self.last_failure: TransferError | None = None
        self._connections = connections
        self._requests = BackgroundRequests(connections, settings.server, self._post, counters.proving)
        self._settings = settings
        self._counters = counters
        self._artifacts = {artifact.info_hash: artifact for artifact in artifacts}
        self.places = Places(
            self._artifacts, settings.into, keeps_old=keeps_old, reserve_bytes=settings.reserve, wake=self._wake
        )
        self._sequence = sequence
        own = settings.bind or urlsplit(settings.server).hostname or ""
        self._is_here = is_loopback(own)
        self._tell = tell
        wanted = {h: Wanted(h, each.pieces, each.piece_bytes) for h, each in self._artifacts.items()}
        self.policy = Policy(wanted, origin=settings.server, now_s=time.monotonic(), random=random)
        self._facts: deque[Fact] = deque()
        self._is_fresh = not any(is_begun(artifact, settings.into) for artifact in artifacts)
        self._port = 0
        self._held: list[PieceReceived] = []
        self._held_bytes = 0
        self._is_woken = True
        self._from_neighbours_bytes = 0
        self._due_s = 0.0
        self._alone_at_s = 0.0
        self._uplink_bytes_per_s = 0.0
        self._introduced_as: NodeId | None = None
        self._known_as: NodeId | None = None
        self._met: set[Neighbour] = set()
        self._is_dialling = False
        self._known: set[Neighbour] = set()
        self._liars: set[str] = set()
        self._slow: set[str] = set()
        self._without: set[str] = set()
        self._later: set[InfoHash] = set()
        self._serves: tuple[Digest, ...] = ()
        self._arriving: dict[tuple[InfoHash, int], str] = {}
        self._failed: dict[tuple[InfoHash, int], int] = {}
        self._handed_in: dict[tuple[InfoHash, int], int] = {}

    @property
    def has_joined(self) -> bool:
        """Return whether this node can be dialled."""
        return self._port != 0

    @property
    def is_complete(self) -> bool:
        """Return whether every piece is there, of what was added later too."""
        return self.has_joined and self.policy.is_complete

    @property
    def ports(self) -> tuple[int, int]:
        """Return where this node listens: for pieces and for documents; 0 before it does."""
        return self._port, self.http_port

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
        self.swarm = swarm
        swarm.expect_links(self._uplink_bytes_per_s)
        self.places.begin(swarm, documents)

    def add_later(self, artifact: Artifact) -> None:
        """Fetch one more artifact, at low priority; the swarm must have checked it."""
        assert self.swarm is not None
        self._artifacts[artifact.info_hash] = artifact
        self._later.add(artifact.info_hash)
        wanted = Wanted(artifact.info_hash, artifact.pieces, artifact.piece_bytes)
        self.policy.want_later(wanted, now_s=time.monotonic())
        self.swarm.start(artifact.info_hash, tuple(self._known))
        self._already_have(artifact.info_hash, self.swarm.pieces(artifact.info_hash))
        self._wake()

    def serve(self, digests: tuple[Digest, ...]) -> None:
        """Announce that this node serves these."""
        self._serves = digests
        self.policy.tell_soon()
        self._wake()

    def meet(self, neighbours: tuple[Neighbour, ...]) -> None:
        """Take note of neighbours found on the LAN."""
        strangers = tuple(neighbour for neighbour in neighbours if neighbour not in self._met)
        self._met.update(strangers)
        if strangers:
            self.policy.neighbours_found(strangers)
            self._wake()

    def move(self) -> None:
        """Announce at once: this node's addresses have changed."""
        self.policy.address_changed()
        self._wake()

    def step(self) -> float:
        """Take in what has come and act on the policy; return for how many seconds there is nothing to do.

        Raises ArtifactError if an origin serves other bytes than were signed, SpaceError if images cannot be written,
        ResourceError if libtorrent does not take what is handed in, PortInUseError if neighbours cannot dial this node.
        """
        while self._facts:
            self._hear(self._facts.popleft())
        if self.swarm is not None:
            for event in self.swarm.events():
                self._take(event)
            if not self.has_joined:
                self._try_to_join(self.swarm)
        if not (self.has_joined or self._is_fresh):
            return CHECKING_S  # first it must be known what an earlier run has left behind
        now_s = time.monotonic()
        if self._is_woken or now_s >= self._due_s:
            self._ask(now_s)
        if self._alone_at_s and now_s >= self._alone_at_s:
            self.dial(())
        return max(0.0, min(self._due_s, self._alone_at_s or self._due_s) - now_s)

    def _ask(self, now_s: float) -> None:
        """Ask the policy and act."""
        self._is_woken = False
        if not self.has_joined:
            self.policy.still_starting(has_room=self._held_bytes < HELD_MAX_BYTES, now_s=now_s)
        for number, received_bytes in self._requests.progress():
            self.policy.range_progressed(number, received_bytes, now_s=now_s)
        for request in self.policy.requests(now_s=now_s):
            match request:
                case AbortRequest(piece_range):
                    self._abort(piece_range)
                case AnnounceRequest():
                    self._announce(request)
                case FetchRequest(piece_range):
                    self._requests.fetch(piece_range, self._artifacts[piece_range.info_hash])
                case ConnectRequest(neighbours):
                    self.dial(neighbours)
        self._counters.rescues = self.policy.rescues
        self._due_s = self.policy.next_wake_s(now_s=now_s)

    def _abort(self, piece_range: PieceRange) -> None:
        self._requests.abort(piece_range)
        if piece_range.origin not in self._slow:
            self._slow.add(piece_range.origin)
            self._tell(f"{piece_range.origin} sends too little; fetching elsewhere")

    def _wake(self) -> None:
        self._is_woken = True
        self.wake()

    def _try_to_join(self, swarm: Swarm) -> None:
        """Begin as a neighbour once it can be dialled and every torrent takes pieces."""
        port = swarm.port
        if not self.places.settle(swarm) or not port:
            return
        self._port = port
        self._alone_at_s = time.monotonic() + START_S
        for info_hash in self._artifacts:
            self._already_have(info_hash, swarm.pieces(info_hash))
        held, self._held = self._held, []
        for piece in held:
            self._insert(piece)
        self.policy.started(now_s=time.monotonic())
        self._is_woken = True

    def _already_have(self, info_hash: InfoHash, have: Pieces) -> None:
        for index in sets.each(have):
            self.policy.piece_arrived(info_hash, index, now_s=time.monotonic())
        self._count_bytes()
        self._check_complete()

    def dial(self, neighbours: tuple[Neighbour, ...]) -> None:
        """Connect to neighbours, the first of them at once; not to those that have lied."""
        if self.swarm is None:
            return
        neighbours = tuple(each for each in neighbours if self._is_worth_dialling(each))
        self._known.update(neighbours)
        for info_hash in self._artifacts:
            if self._is_dialling:
                self.swarm.connect(info_hash, neighbours)
            else:
                self.swarm.start(info_hash, neighbours)
        self._is_dialling = True
        self._alone_at_s = 0.0

    def _is_worth_dialling(self, neighbour: Neighbour) -> bool:
        return neighbour.host not in self._liars and is_dialable(neighbour.host, is_here=self._is_here)

    def _post(self, fact: Fact) -> None:
        self._facts.append(fact)
        self.wake()

    def _announce(self, request: AnnounceRequest) -> None:
        if self._settings.server:
            self._requests.announce(self.announcement(request))
        else:
            self._post(AnnounceAnswered(None))

    def announcement(self, request: AnnounceRequest) -> Announce:
        """Return the announce that a request stands for."""
        return Announce(
            node=self._counters.node,
            sequence=self._sequence,
            state=request.state,
            port=self._port,
            http_port=self.http_port,
            rack=self._settings.rack,
            have={h: sets.encode(self.policy.have[h], each.pieces) for h, each in self._artifacts.items()},
            slots=request.slots,
            received=request.received,
            returned=request.returned,
            is_starving=request.is_starving,
            from_neighbours_bytes=self._from_neighbours_bytes,
            from_origin_bytes=self._counters.from_origin_bytes,
            serves=self._serves,
            serves_bytes_per_s=int(self._settings.up),
            key=self._counters.key,
            own_end=self._connections.own_end(self._settings.server),
            about=self._about(),
        )

    def _about(self) -> About | None:
        """Return which machine this is, as long as the seeder has not heard it of this node."""
        counters = self._counters
        if counters.about is None or self._known_as == counters.node:
            return None
        self._introduced_as = counters.node
        return counters.about

    def leave(self) -> SmallRequest | None:
        """Return what tells the seeder, if there is one, that this node goes away."""
        if not self._settings.server:
            return None
        request = AnnounceRequest(NodeState.LEAVING, 0, (), (), is_starving=False)
        return self._requests.posted(self.announcement(request), LEAVE_S)

    def close(self) -> None:
        """Tear down what is under way and leave the swarm."""
        self._requests.abort_all()
        if self.swarm is not None:
            self.swarm.close()

    def _hear(self, fact: Fact) -> None:
        """Take note of what a request to an origin has brought."""
        match fact:
            case AnnounceAnswered(refused=node) if node is not None:
                self._refused(node)
            case AnnounceAnswered(failure=error) if error is not None:
                self._unproved(error)
            case AnnounceAnswered(handout, has_joined):
                self._answered(handout, has_joined=has_joined)
            case PieceReceived():
                self._received(fact)
                return
            case RangeEnded(piece_range, failure):
                self._ended(piece_range, failure)
        self._is_woken = True

    def _refused(self, node: NodeId) -> None:
        """Go on under another name: whoever took this one must not end this boot."""
        is_news = node == self._counters.node  # of two announces under way the first brings it
        if is_news:
            self._counters.take_new_name()
        self.policy.announce_refused(is_news=is_news, now_s=time.monotonic())

    def _unproved(self, error: ProofRefusedError) -> None:
        """Go on alone, and say once why the seeder does not help."""
        if not isinstance(self.last_failure, ProofRefusedError):
            self._tell(f"{error}; going on without its help")
        self.last_failure = error
        self.policy.announce_failed(now_s=time.monotonic())

    def _answered(self, handout: Handout | None, *, has_joined: bool) -> None:
        if handout is None:
            self.policy.announce_failed(now_s=time.monotonic())
            return
        self._known_as = self._introduced_as
        self.policy.handout_arrived(handout, now_s=time.monotonic())
        if has_joined and not handout.neighbours and not self._is_dialling:
            self.dial(())  # the first to announce: those who come next will dial this node
        self.is_stage0_wanted |= handout.is_stage0_wanted
        self.is_hidden |= handout.is_hidden
        if handout.uplink_bytes_per_s != self._uplink_bytes_per_s:
            self._expect_links(handout.uplink_bytes_per_s)

    def _expect_links(self, bytes_per_s: float) -> None:
        """Take the seeder's link for one like all others."""
        self._uplink_bytes_per_s = bytes_per_s
        if self.swarm is not None:
            self.swarm.expect_links(bytes_per_s)

    @property
    def is_gone(self) -> bool:
        """Return whether no origin has what the manifest names, as they all say, and nothing comes from elsewhere."""
        has_none = bool(self.policy.origins) and self._without.issuperset(self.policy.origins)
        return has_none and not self.is_complete and self.policy.idle_s(now_s=time.monotonic()) >= GONE_S

    def _ended(self, piece_range: PieceRange, failure: TransferError | None) -> None:
        if failure is None:
            self._without.discard(piece_range.origin)
        elif isinstance(failure, OriginError) and failure.is_gone:
            self._without.add(piece_range.origin)
        if failure is not None:
            self.last_failure = failure
            if self.policy.failures_of(piece_range.origin) == 0:
                self._tell(f"{failure}; trying again")
        self.policy.range_ended(piece_range.number, is_whole=failure is None, now_s=time.monotonic())

    def _received(self, piece: PieceReceived) -> None:
        """Hand a piece in, or hold it until there is a swarm; whether it counts is told by `_take`."""
        self._counters.from_origin_bytes += len(piece.data)
        if self.has_joined:
            self._insert(piece)
        else:
            self._held.append(piece)
            self._held_bytes += len(piece.data)

    def _insert(self, piece: PieceReceived) -> None:
        assert self.swarm is not None
        info_hash = piece.piece_range.info_hash
        if self.policy.have[info_hash] >> piece.index & 1:
            return
        self._arriving[info_hash, piece.index] = piece.piece_range.origin
        times = self._handed_in[info_hash, piece.index] = self._handed_in.get((info_hash, piece.index), 0) + 1
        if times > _REFUSALS_OF_A_PIECE:
            raise ResourceError(
                f"libtorrent takes piece {piece.index} of {self._artifacts[info_hash].name} for nothing",
                expected="the piece verified, or found wrong",
                found=f"no word of it after {_REFUSALS_OF_A_PIECE} times",
                hint="run `swarmboot hook build-runtime`, whose self-test tries this",
            )
        self.swarm.insert(info_hash, piece.index, piece.data)

    def _take(self, event: Event) -> None:
        """Tell the policy what libtorrent reports."""
        match event:
            case PieceFinished(info_hash, index):
                self._finished(info_hash, index)
            case PieceFailed(info_hash, index):
                self._failed_piece(info_hash, index)
            case NeighbourBanned(address):
                if address not in self._liars:
                    self._liars.add(address)
                    self._counters.bans = (*self._counters.bans, address)[:BANS_MAX]
                    self._tell(f"neighbour {address} sent corrupt blocks and is not asked again")

    def _finished(self, info_hash: InfoHash, index: int) -> None:
        self.policy.piece_arrived(info_hash, index, now_s=time.monotonic())
        self._count_bytes()
        if self._arriving.pop((info_hash, index), None) is None:
            artifact = self._artifacts[info_hash]
            self._from_neighbours_bytes += min(artifact.piece_bytes, artifact.size_bytes - index * artifact.piece_bytes)
        self._failed.pop((info_hash, index), None)
        self._handed_in.pop((info_hash, index), None)
        self._check_complete()

    def _check_complete(self) -> None:
        if self.policy.is_complete and self.swarm is not None:
            self.swarm.seed()
            self._is_woken = True

    def _count_bytes(self) -> None:
        self._counters.have_bytes = sum(
            min(each.size_bytes, self.policy.have[h].bit_count() * each.piece_bytes)
            for h, each in self._artifacts.items()
        )

    def _failed_piece(self, info_hash: InfoHash, index: int) -> None:
        """Count a bad piece; one that origins keep sending wrong ends the boot."""
        self._counters.hash_failures += 1
        self._handed_in.pop((info_hash, index), None)
        origin = self._arriving.pop((info_hash, index), None)
        if origin is None:
            return
        self.policy.origin_failed(origin, now_s=time.monotonic())
        failures = self._failed[info_hash, index] = self._failed.get((info_hash, index), 0) + 1
        if failures >= _FAILURES_OF_A_PIECE and info_hash not in self._later:
            artifact = self._artifacts[info_hash]
            raise ArtifactError(
                f"the origin serves other bytes of {artifact.name} than were signed",
                expected=f"piece {index} as in manifest {self._sequence}",
                found=f"{failures} times another",
                hint="run `swarmboot verify` on the site",
            )
