"""Hosts on paper that are no nodes: they take leases from a rack's tracker and say what is not so."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarmboot.ids import NodeId, Sequence
from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces
from swarmboot.wire.announce import Announce, Handout, Lease, NodeState
from tests.support.racks.paper_rack import INFO_HASH, PIECE_BYTES, PaperRack


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a liar lies. `fetches` says how much of its leases it fetches: nothing, the beginning, or the whole.

    It claims to have nothing, what it is leased, or all; `new_every` announces it comes under a new id.
    """

    port: int = 0
    slots: int = 64
    has_received: bool = True
    claims: str = "nothing"
    fetches: str = "nothing"
    is_starving: bool = False
    returns: bool = False
    new_every: int = 0
    state: NodeState = NodeState.FETCHING
    from_neighbours: int = 0
    every_s: float = 0.1


@dataclass(slots=True)
class Liar:
    """One liar at an address, under one id at a time."""

    rack: PaperRack
    number: int
    host: str
    behaviour: Behaviour
    node: NodeId = field(default_factory=lambda: NodeId(bytes(16)))
    have: Pieces = 0
    leases: list[Lease] = field(default_factory=list)
    told: int = 0
    neighbours: set[str] = field(default_factory=set)

    def begin(self, at_s: float) -> None:
        """Begin to lie at a time, and go on."""
        self._take_name()
        self.rack.at(at_s, self._lie)

    def _take_name(self) -> None:
        self.node = NodeId(b"liar" + self.number.to_bytes(4, "big") + self.told.to_bytes(8, "big"))
        self.rack.others[self.node] = self._hear
        self.have, self.leases = 0, []

    def _hear(self, handout: Handout) -> None:
        self.neighbours.update(neighbour.host for neighbour in handout.neighbours)
        for lease in handout.leases:
            self.leases.append(lease)
            self.have |= piece_set.span(lease.first, lease.count)
            if self.behaviour.fetches != "nothing":
                self.rack.registry.begun(self.host, INFO_HASH, lease.first, lease.count)
            if self.behaviour.fetches == "all":
                self.rack.spend(lease.count * PIECE_BYTES)
                self.rack.registry.went_out(self.host, INFO_HASH, lease.first, lease.count)

    def _lie(self) -> None:
        if self.behaviour.new_every and self.told % self.behaviour.new_every == 0:
            self._take_name()
        self.told += 1
        everything = piece_set.all_pieces(self.rack.count)
        have = {"nothing": 0, "leased": self.have, "all": everything}[self.behaviour.claims]
        named, self.leases = tuple(lease.id for lease in self.leases[:64]), self.leases[64:]
        announce = Announce(
            node=self.node,
            sequence=Sequence(1),
            state=self.behaviour.state,
            port=self.behaviour.port,
            have={INFO_HASH: piece_set.encode(have, self.rack.count)},
            free_lease_slots=self.behaviour.slots,
            received=named if self.behaviour.has_received else (),
            returned=named if self.behaviour.returns else (),
            is_starving=self.behaviour.is_starving,
            from_neighbours_bytes=self.told * self.behaviour.from_neighbours,
        )
        self.rack.post(announce, host=self.host)
        self.rack.at(self.rack.now_s + self.behaviour.every_s, self._lie)


def let_lie(
    rack: PaperRack, behaviour: Behaviour, *, count: int = 1, addresses: int = 1, at_s: float = 0.0
) -> list[Liar]:
    """Have liars begin, spread over so many addresses; return them."""
    liars = [Liar(rack, number, f"10.9.{number % addresses}.1", behaviour) for number in range(count)]
    for liar in liars:
        liar.begin(at_s + 0.0001 * liar.number)
    return liars
