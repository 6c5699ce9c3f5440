"""Carries out the policy's requests: announces, fetches runs, dials neighbours, and tells the policy what happened.

One nursery, one writer of state: everything here runs in trio's one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import trio

from leecher.headstart import ANNOUNCE_S, Answered, Ended, Fact, HeadStart, Received, span_of
from leecher.ledger import Ledger
from leecher.nursery import open_nursery
from leecher.origin import Origin
from leecher.policy import AnnounceRequest, ConnectRequest, FetchRequest, Policy, Run, Wanted
from leecher.span import SpanExchange
from leecher.swarm import Event, NeighbourBanned, PieceFailed, PieceFinished, Swarm
from leecher.threads import in_thread
from swarmboot import pieces as sets
from swarmboot.codec import DecodeError
from swarmboot.errors import ArtifactError, TransferError
from swarmboot.ids import Digest, InfoHash, NodeId, Sequence
from swarmboot.manifest import Artifact
from swarmboot.pieces import Pieces
from swarmboot.settings import NodeSettings
from swarmboot.wire import (
    ANNOUNCE_PATH,
    HANDOUT_MAX_BYTES,
    WIRE_TYPE,
    Announce,
    Handout,
    Neighbour,
    NodeState,
    decode_handout,
    encode_announce,
)

START_S = 0.3
_FAILURES_OF_A_PIECE = 3


class Fetching:
    """One node's part in the swarm from its first announce until it leaves. Ports must be known."""

    def __init__(
        self,
        swarm: Swarm,
        origin: Origin,
        settings: NodeSettings,
        ledger: Ledger,
        artifacts: tuple[Artifact, ...],
        *,
        sequence: Sequence,
        node: NodeId,
        ports: tuple[int, int],
        random: Random,
        tell: Callable[[str], None],
    ) -> None:
        self._swarm = swarm
        self._origin = origin
        self._server = settings.server
        self._rack = settings.rack
        self._ledger = ledger
        self._artifacts = {artifact.info_hash: artifact for artifact in artifacts}
        self._sequence = sequence
        self._node = node
        self.ports = ports
        self._tell = tell
        wanted = {h: Wanted(h, each.pieces, each.piece_bytes) for h, each in self._artifacts.items()}
        self.policy = Policy(wanted, origin=settings.server, now_s=time.monotonic(), random=random)
        self.completed = trio.Event()
        self.last_failure: TransferError | None = None
        self._stirred = trio.Event()
        self._met: set[Neighbour] = set()
        self._is_dialling = False
        self._known: set[Neighbour] = set()
        self._liars: set[str] = set()
        self._later: set[InfoHash] = set()
        self._all_there = trio.Event()
        self.stage0_wanted = trio.Event()
        self._serves: tuple[Digest, ...] = ()
        self._serves_bytes_per_s = int(settings.up)
        self._arriving: dict[tuple[InfoHash, int], str] = {}
        self._failed: dict[tuple[InfoHash, int], int] = {}

    def have(self, info_hash: InfoHash) -> Pieces:
        """Return the pieces of a torrent that are there."""
        return self.policy.have[info_hash]

    def already_have(self, info_hash: InfoHash, have: Pieces) -> None:
        """Take note of pieces that an earlier run left behind."""
        for index in sets.each(have):
            self.policy.piece_arrived(info_hash, index, now_s=time.monotonic())
        self._count_bytes()
        self._check_complete()

    def adopt(self, head_start: HeadStart) -> None:
        """Take over what a head start has begun, if it began what this is about; a head start with less is left."""
        given = head_start.take_over(self.policy.wanted.keys())
        if given is None or any(self.policy.have.values()):
            return
        self.policy = given
        trio_thread = trio.lowlevel.current_trio_token()
        for fact in head_start.hand_over(lambda fact: trio_thread.run_sync_soon(self._hear, fact)):
            self._hear(fact)
        self.policy.started(now_s=time.monotonic())

    def add_later(self, artifact: Artifact, have: Pieces) -> None:
        """Fetch one more artifact, at low priority; the swarm must know it and holds these pieces already."""
        self._artifacts[artifact.info_hash] = artifact
        self._later.add(artifact.info_hash)
        self._all_there = trio.Event()
        wanted = Wanted(artifact.info_hash, artifact.pieces, artifact.piece_bytes)
        self.policy.want_later(wanted, now_s=time.monotonic())
        self._swarm.start(artifact.info_hash, tuple(self._known))
        self.already_have(artifact.info_hash, have)
        self._stirred.set()

    async def all_there(self) -> None:
        """Wait until everything is there, what was added later included."""
        await self._all_there.wait()

    def serve(self, digests: tuple[Digest, ...]) -> None:
        """Announce that this node's door serves these."""
        self._serves = digests
        self.policy.tell_soon()
        self._stirred.set()

    async def run(self, neighbours: tuple[Neighbour, ...] = ()) -> None:
        """Act on the policy until cancelled; raises ArtifactError if an origin serves other bytes than were signed."""
        self.meet(neighbours)
        async with open_nursery() as nursery:
            nursery.start_soon(self._start_alone)
            while True:
                self._stirred = trio.Event()
                now_s = time.monotonic()
                for request in self.policy.requests(now_s=now_s):
                    self._act(request, nursery)
                self._ledger.rescues = self.policy.rescues
                with trio.move_on_after(max(0.0, self.policy.next_wake_s(now_s=now_s) - now_s)):
                    await self._stirred.wait()

    def meet(self, neighbours: tuple[Neighbour, ...]) -> None:
        """Take note of neighbours found on the LAN."""
        strangers = tuple(neighbour for neighbour in neighbours if neighbour not in self._met)
        self._met.update(strangers)
        if strangers:
            self.policy.neighbours_found(strangers)
            self._stirred.set()

    def move(self) -> None:
        """Announce at once: this node's addresses have changed."""
        self.policy.address_changed()
        self._stirred.set()

    def _act(self, request: AnnounceRequest | FetchRequest | ConnectRequest, nursery: trio.Nursery) -> None:
        match request:
            case AnnounceRequest():
                nursery.start_soon(self._announce, request)
            case FetchRequest(run):
                nursery.start_soon(self._fetch, run)
            case ConnectRequest(neighbours):
                self.dial(neighbours)

    async def _start_alone(self) -> None:
        """Begin without neighbours if nobody names any in time."""
        await trio.sleep(START_S)
        self.dial(())

    def dial(self, neighbours: tuple[Neighbour, ...]) -> None:
        """Connect to neighbours, the first of them at once; not to those that have lied."""
        neighbours = tuple(neighbour for neighbour in neighbours if neighbour.host not in self._liars)
        self._known.update(neighbours)
        for info_hash in self._artifacts:
            if self._is_dialling:
                self._swarm.connect(info_hash, neighbours)
            else:
                self._swarm.start(info_hash, neighbours)
        self._is_dialling = True

    async def _announce(self, request: AnnounceRequest) -> None:
        if not self._server:
            self.policy.announce_failed(now_s=time.monotonic())
            return
        try:
            handout = decode_handout(await self._post(self.announcement(request), ANNOUNCE_S))
            self._hear(Answered(handout))
            if not handout.neighbours and not self._is_dialling:
                self.dial(())  # the first to announce: those who come next will dial this node
        except (TransferError, DecodeError):
            self._hear(Answered(None))

    def _hear(self, fact: Fact) -> None:
        """Take note of what an exchange with an origin has brought, whoever began it."""
        match fact:
            case Answered(handout):
                self._answered(handout)
            case Received(run, index, data):
                self._ledger.from_origin_bytes += len(data)
                self._insert(run, index, data)
                return
            case Ended(run, failure):
                self._ended(run, failure)
        self._stirred.set()

    def _answered(self, handout: Handout | None) -> None:
        if handout is None:
            self.policy.announce_failed(now_s=time.monotonic())
            return
        self.policy.handout_arrived(handout, now_s=time.monotonic())
        if handout.is_stage0_wanted:
            self.stage0_wanted.set()

    def _ended(self, run: Run, failure: TransferError | None) -> None:
        if failure is not None:
            self.last_failure = failure
            if self.policy.failures_of(run.origin) == 0:
                self._tell(f"{failure}; trying again")
        self.policy.run_ended(run.number, is_whole=failure is None, now_s=time.monotonic())

    async def _post(self, announce: Announce, timeout_s: float) -> bytes:
        body = encode_announce(announce)
        address = f"{self._server}{ANNOUNCE_PATH}"
        return await self._origin.post(
            address, body, media_type=WIRE_TYPE, max_bytes=HANDOUT_MAX_BYTES, timeout_s=timeout_s
        )

    def announcement(self, request: AnnounceRequest) -> Announce:
        """Return the announce that a request stands for."""
        self._ledger.from_neighbours_bytes = max(0, self._ledger.have_bytes - self._ledger.from_origin_bytes)
        return Announce(
            node=self._node,
            sequence=self._sequence,
            state=request.state,
            port=self.ports[0],
            http_port=self.ports[1],
            rack=self._rack,
            have={h: sets.encode(self.policy.have[h], each.pieces) for h, each in self._artifacts.items()},
            slots=request.slots,
            received=request.received,
            returned=request.returned,
            is_starving=request.is_starving,
            from_neighbours_bytes=self._ledger.from_neighbours_bytes,
            from_origin_bytes=self._ledger.from_origin_bytes,
            serves=self._serves,
            serves_bytes_per_s=self._serves_bytes_per_s,
        )

    async def leave(self) -> None:
        """Tell the seeder that this node goes away, if it listens within a second."""
        if self._server:
            request = AnnounceRequest(NodeState.LEAVING, 0, (), (), is_starving=False)
            with trio.move_on_after(1.0):
                try:
                    await self._post(self.announcement(request), 1.0)
                except TransferError:
                    return

    async def _fetch(self, run: Run) -> None:
        """Fetch a run and hand its pieces in; whether they count is told by `take`."""
        trio_thread = trio.lowlevel.current_trio_token()
        indices = iter(range(run.first, run.first + run.count))

        def take(data: bytes) -> None:
            trio_thread.run_sync_soon(self._hear, Received(run, next(indices), data))

        span = span_of(run, self._artifacts[run.info_hash])
        failure: TransferError | None = None
        try:
            await in_thread(SpanExchange(self._origin.connections, span, take))
        except TransferError as error:
            failure = error
        self._hear(Ended(run, failure))

    def _insert(self, run: Run, index: int, data: bytes) -> None:
        if not self.policy.have[run.info_hash] >> index & 1:
            self._arriving[run.info_hash, index] = run.origin
            self._swarm.insert(run.info_hash, index, data)

    def take(self, event: Event) -> None:
        """Tell the policy what libtorrent reports; raises ArtifactError as `run` does."""
        match event:
            case PieceFinished(info_hash, index):
                self._finished(info_hash, index)
            case PieceFailed(info_hash, index):
                self._failed_piece(info_hash, index)
            case NeighbourBanned(address):
                if address not in self._liars:
                    self._liars.add(address)
                    self._tell(f"neighbour {address} sent corrupt blocks and is not asked again")

    def _finished(self, info_hash: InfoHash, index: int) -> None:
        self.policy.piece_arrived(info_hash, index, now_s=time.monotonic())
        self._count_bytes()
        self._arriving.pop((info_hash, index), None)
        self._failed.pop((info_hash, index), None)
        self._check_complete()

    def _count_bytes(self) -> None:
        self._ledger.have_bytes = sum(
            min(each.size_bytes, self.policy.have[h].bit_count() * each.piece_bytes)
            for h, each in self._artifacts.items()
        )

    def _failed_piece(self, info_hash: InfoHash, index: int) -> None:
        """Count a bad piece; one that origins keep sending wrong ends the boot."""
        self._ledger.hash_failures += 1
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

    def _check_complete(self) -> None:
        if self.policy.is_complete:
            self._all_there.set()
        if self.policy.is_complete and not self.completed.is_set():
            self.completed.set()
            self._stirred.set()
