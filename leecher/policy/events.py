"""What can happen to a node that fetches: what requests to origins bring, and what libtorrent reports."""

from __future__ import annotations

from dataclasses import dataclass

from leecher.policy.requests import PieceRange
from swarmboot.errors import ProofRefusedError, TransferError
from swarmboot.ids import InfoHash, NodeId, PieceIndex
from swarmboot.wire.announce import Handout


@dataclass(frozen=True, slots=True)
class AnnounceAnswered:
    """Occurs when the seeder has answered an announce; without a handout if it has not, or with nonsense.

    `has_joined` says whether the node could be dialled when it announced; `refused` is the id that it announced if the
    seeder takes that for another's; `failure` is one that a person should hear of.
    """

    handout: Handout | None
    has_joined: bool = False
    refused: NodeId | None = None
    failure: ProofRefusedError | None = None


@dataclass(frozen=True, slots=True)
class PieceReceived:
    """Occurs when a piece of a range is in, not verified."""

    piece_range: PieceRange
    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RangeEnded:
    """Occurs when a range has been received whole, or has failed."""

    piece_range: PieceRange
    failure: TransferError | None


@dataclass(frozen=True, slots=True)
class PieceFinished:
    """Occurs when a piece has been verified, from a neighbour or handed in."""

    info_hash: InfoHash
    index: int


@dataclass(frozen=True, slots=True)
class PieceFailed:
    """Occurs when a piece's hash does not match."""

    info_hash: InfoHash
    index: int


@dataclass(frozen=True, slots=True)
class NeighbourBanned:
    """Occurs when a neighbour sent corrupt blocks and is not asked again."""

    address: str


@dataclass(frozen=True, slots=True)
class PieceRead:
    """Occurs when an image that is not whole is read at this piece for the first time, and when a read waits for it."""

    info_hash: InfoHash
    index: PieceIndex
    is_missing: bool


@dataclass(frozen=True, slots=True)
class PieceCopied:
    """Occurs when a piece has been read from the cache; without data if that has not what it should have.

    `is_last` says that the cache is read no further.
    """

    info_hash: InfoHash
    index: PieceIndex
    data: bytes | None
    is_last: bool = False


Fact = AnnounceAnswered | PieceReceived | RangeEnded | PieceRead | PieceCopied
Event = PieceFinished | PieceFailed | NeighbourBanned
