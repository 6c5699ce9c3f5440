"""What the nodes of one swarm share: links and time, the exchange, the seeder, and who their sources are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from netsim.delivery.coordinator import Coordinator
from netsim.fluid.engine import Engine
from netsim.scenario.arrays import Ints
from netsim.swap.exchange import PieceExchange
from netsim.swap.torrents import Torrents
from swarmboot.ids import InfoHash
from swarmboot.release.piece_set import Pieces
from swarmboot.wire.announce import Neighbour

Asked = Callable[[int, tuple[Neighbour, ...]], None]
"""Called with a node that is asked to serve stage 0 while it fetches, and where it takes what it lacks."""


def _unasked(_node: int, _sources: tuple[Neighbour, ...]) -> None:
    """Do nothing: nobody is asked."""


@dataclass(slots=True)
class Stage0Asking:
    """What becomes of being asked for stage 0; the simulation puts its own in."""

    asked: Asked = _unasked


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmWorld:
    """The surroundings of every node: `origins` are named, `sources` are their ends, `dead` the ends that are gone."""

    engine: Engine
    exchange: PieceExchange
    coordinator: Coordinator
    torrents: Torrents
    origins: tuple[str, ...]
    sources: Mapping[str, int]
    racks: Ints
    latency_s: float
    random: Random
    dead: set[int]
    boot_sets: Mapping[InfoHash, Pieces]
    """Of each image, the pieces that a trace names; none where a strategy has no trace."""
    stage0: Stage0Asking = field(default_factory=Stage0Asking)
