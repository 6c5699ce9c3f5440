"""What a node's policy asks of the shell around it. Values alone; what comes back is in `leecher.policy.events`."""

from __future__ import annotations

from dataclasses import dataclass

from swarmboot.ids import InfoHash, LeaseId, PieceIndex
from swarmboot.wire.announce import Neighbour, NodeState


@dataclass(frozen=True, slots=True)
class PieceRange:
    """Consecutive pieces to fetch from an origin; `lease` is None for a rescue."""

    number: int
    info_hash: InfoHash
    first: PieceIndex
    count: int
    origin: str
    lease: LeaseId | None


@dataclass(frozen=True, slots=True)
class AnnounceRequest:
    """Asks the shell to announce: occurs when there is something to tell or to ask."""

    state: NodeState
    free_lease_slots: int
    received: tuple[LeaseId, ...]
    returned: tuple[LeaseId, ...]
    is_starving: bool


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Asks the shell to fetch a range: occurs when a lease was handed out or the node rescues itself."""

    piece_range: PieceRange


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """Asks the shell to connect to neighbours: occurs when a handout names some."""

    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class AbortRequest:
    """Asks the shell to end a range: occurs when it is too slow; for the policy it has failed already."""

    piece_range: PieceRange


Request = AnnounceRequest | FetchRequest | ConnectRequest | AbortRequest
