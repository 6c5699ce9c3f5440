"""A rack on paper whose nodes read a trace from images that still arrive: the real demands, policies and tracker."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from leecher.policy.demands import Demands, OriginRequest, TellRequest
from seeder.policy.facts.torrent_state import Torrent
from swarmboot.ids import InfoHash, NodeId, PieceIndex
from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces
from tests.support.racks.paper_rack import INFO_HASH, PIECE_BYTES, PaperNode, PaperRack


@dataclass(slots=True)
class Reader:
    """One node's program: it reads the pieces of the trace one after the other."""

    demands: Demands
    left: list[int]
    waits_since_s: float | None = None
    longest_s: float = 0.0
    ready_s: float | None = None
    urgent: dict[InfoHash, Pieces] = field(default_factory=dict)


class LazyRack(PaperRack):
    """Nodes that read `trace` as soon as they are on; with `is_known` the seeder and they know it beforehand.

    On paper neighbours send all that they have at once, so that a piece that is to come first comes no sooner.
    """

    def __init__(self, count: int, *, trace: list[int], is_known: bool, pieces_count: int = 256) -> None:
        super().__init__(count, pieces_count=pieces_count)
        self.trace = trace
        self.readers: dict[NodeId, Reader] = {}
        self.boot_set = piece_set.of(trace) if is_known else 0
        self.registry.add_torrent(Torrent(INFO_HASH, pieces_count * PIECE_BYTES, PIECE_BYTES, self.boot_set))

    def reader(self, node: PaperNode) -> Reader:
        """Return a node's program, started now if it did not run yet."""
        if node.node not in self.readers:
            self.readers[node.node] = Reader(
                Demands(node.policy.wanted, random=Random(len(self.readers))), list(self.trace)
            )
            self._read_on(node)
        return self.readers[node.node]

    def _urgent(self, node: PaperNode) -> dict[InfoHash, Pieces]:
        urgent = [index for _, index in self.reader(node).demands.urgent()]
        return {INFO_HASH: piece_set.of(urgent)} if urgent else {}

    def _act(self, node: PaperNode) -> None:
        reader = self.reader(node)
        for request in reader.demands.requests(now_s=self.now_s):
            match request:
                case TellRequest():
                    node.policy.tell_soon()
                case OriginRequest(info_hash, index):
                    node.policy.fetch_now(info_hash, index)
        super()._act(node)
        wake_s = reader.demands.next_wake_s()
        if wake_s < node.wake_s:
            node.wake_s = wake_s = max(wake_s, self.now_s + 0.001)
            self.at(wake_s, lambda: self._wake(node, wake_s))

    def _arrive(self, node: PaperNode, index: int, *, is_swapped: bool = False) -> None:
        super()._arrive(node, index, is_swapped=is_swapped)
        if self.reader(node).demands.piece_arrived(INFO_HASH, PieceIndex(index)):
            self._read_on(node)
            self._act(node)

    def _read_on(self, node: PaperNode) -> None:
        """Read until a piece is missing, and wait for that."""
        reader = self.readers[node.node]
        if reader.waits_since_s is not None:
            reader.longest_s = max(reader.longest_s, self.now_s - reader.waits_since_s)
            reader.waits_since_s = None
        while reader.left:
            index, have = PieceIndex(reader.left[0]), node.policy.have[INFO_HASH]
            reader.demands.read(INFO_HASH, index, have=have)
            if not have >> index & 1:
                reader.demands.read_waits(INFO_HASH, index, now_s=self.now_s)
                reader.waits_since_s = self.now_s
                return
            reader.left.pop(0)
        reader.ready_s = self.now_s
