"""What the nodes of one swarm share: links and time, the exchange, the seeder, and who their sources are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from netsim.delivery.coordinator import Coordinator
from netsim.fluid.engine import Engine
from netsim.scenario.arrays import Ints
from netsim.swap.exchange import PieceExchange
from netsim.swap.torrents import Torrents


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
