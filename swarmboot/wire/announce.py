"""What a node and the seeder say to each other: one msgpack request, one msgpack answer, both bounded.

Announce goes up, Handout comes back, over `POST /announce`. Neighbours without a server say Probe and Presence over
UDP. Pure: bytes to values and back; DecodeError for anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from swarmboot.codec import DecodeError, Fields, pack, unpack
from swarmboot.errors import MalformedSettingError
from swarmboot.ids import (
    DIGEST_BYTES,
    INFO_HASH_BYTES,
    MAX_SEQUENCE,
    NODE_ID_BYTES,
    NODE_KEY_BYTES,
    Digest,
    InfoHash,
    LeaseId,
    NodeId,
    NodeKey,
    PieceIndex,
    Sequence,
)
from swarmboot.release import piece_set
from swarmboot.release.manifest import MAX_ARTIFACTS, MAX_PIECES
from swarmboot.release.piece_set import Pieces
from swarmboot.text.addresses import is_dialable, is_ipv6, read_address, read_server
from swarmboot.wire.about import About, read_about

ANNOUNCE_MAX_BYTES = 1 << 20
HANDOUT_MAX_BYTES = 1 << 18
ANNOUNCE_PATH = "/announce"
REPORT_PATH = "/report"
WIRE_TYPE = "application/msgpack"
MAX_NEIGHBOURS = 128
MAX_LEASES = 64
MAX_SERVED = 8
MAX_URGENT = 16
MAX_STAGE0_FROM = 8


class NodeState(StrEnum):
    """Where a node is in its life, as it announces it."""

    FETCHING = "fetching"
    COMPLETE = "complete"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Announce:
    """What a node tells the seeder about itself. Bytes and bytes per second; `have` holds encoded sets of pieces.

    `key` is drawn anew for each boot and proves to the seeder that it is still the same node that speaks; no one else
    is ever told it. Empty from nodes that have none.
    `port` is 0 while the node is starting: it fetches leases, but nobody can dial it and nothing is verified yet.
    `free_lease_slots` is how many more leases the node could fetch now; `received` names leases whose last byte is in,
    verified or not, and `returned` leases it gives back; `is_starving` says that its neighbours give it nothing
    although it lacks pieces. A node's address is that of the connection it announces over. `own_end` is the address at
    its own end of that, empty if it does not say: nobody is told it, but where it is another a proxy or NAT stands
    between.
    `serves` are digests that the node's HTTP server has at /k/ to machines without an operating system, at most
    `serves_bytes_per_s`, 0 for no limit; `loads_sent` is to how many of these it has sent all of it, None from a node
    that does not say. `about` says which machine this is, until the seeder has heard it once.
    `urgent` are pieces that a program on the node waits for, of each torrent, and that its neighbours have not sent.
    `sent_ms` is when it was sent, in milliseconds on the node's own monotonic clock, 0 from one that does not say: of
    two announces under way at once the later one may arrive first.
    """

    node: NodeId
    sequence: Sequence
    state: NodeState
    port: int
    http_port: int = 0
    rack: str = ""
    have: Mapping[InfoHash, bytes] = field(default_factory=dict)
    free_lease_slots: int = 0
    received: tuple[LeaseId, ...] = ()
    returned: tuple[LeaseId, ...] = ()
    is_starving: bool = False
    from_neighbours_bytes: int = 0
    from_origin_bytes: int = 0
    serves: tuple[Digest, ...] = ()
    serves_bytes_per_s: int = 0
    loads_sent: int | None = None
    key: NodeKey = field(default=NodeKey(b""), repr=False)
    own_end: str = ""
    about: About | None = None
    urgent: Mapping[InfoHash, Pieces] = field(default_factory=dict)
    sent_ms: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A run of pieces that one node, and no other, should fetch from an origin now.

    `origin` is the place in the handout's list of origins to ask first.
    """

    id: LeaseId
    info_hash: InfoHash
    first: PieceIndex
    count: int
    origin: int = 0


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A node to exchange pieces with: where it is dialled for BitTorrent and HTTP. `host` is an IP address."""

    host: str
    port: int
    http_port: int = 0


@dataclass(frozen=True, slots=True)
class Handout:
    """What the seeder answers: whom to connect to, what to fetch, where from, and when to announce again.

    `is_supplied` says that neighbours hold all this node lacks and can send it at full speed, so the absence of leases
    is meant. `patience_s` is how long no piece at all may arrive before that is worth a complaint. `is_stage0_wanted`
    asks a node to serve its manifest's kernel and initramfs as well: a complete one, and one that still fetches, which
    takes what it lacks of them from `stage0_from`, from an origin if that is empty. `uplink_bytes_per_s`
    is the seeder's own, 0 if it does not say. `is_hidden` says that this node comes through a proxy or NAT: nobody is
    told where it is, so it is to look for neighbours on its LAN itself.
    """

    announce_after_s: float
    neighbours: tuple[Neighbour, ...] = ()
    leases: tuple[Lease, ...] = ()
    origins: tuple[str, ...] = ()
    is_supplied: bool = False
    patience_s: float = 1.0
    is_stage0_wanted: bool = False
    stage0_from: tuple[Neighbour, ...] = ()
    uplink_bytes_per_s: float = 0.0
    is_hidden: bool = False


def encode_announce(announce: Announce) -> bytes:
    """Return the announce as the body of a request."""
    about = {} if announce.about is None else {"about": asdict(announce.about)}
    urgent = {h: list(piece_set.each(pieces)) for h, pieces in announce.urgent.items()}
    return pack(
        {
            **about,
            **({"urgent": urgent} if urgent else {}),
            **({} if announce.loads_sent is None else {"loads_sent": announce.loads_sent}),
            "node": announce.node,
            "sequence": announce.sequence,
            "state": announce.state.value,
            "port": announce.port,
            "http_port": announce.http_port,
            "rack": announce.rack,
            "have": dict(announce.have),
            "slots": announce.free_lease_slots,
            "received": list(announce.received),
            "returned": list(announce.returned),
            "starving": announce.is_starving,
            "from_neighbours": announce.from_neighbours_bytes,
            "from_origin": announce.from_origin_bytes,
            "serves": list(announce.serves),
            "serves_rate": announce.serves_bytes_per_s,
            "key": announce.key,
            "own_end": announce.own_end,
            "sent_ms": announce.sent_ms,
        }
    )


def decode_announce(data: bytes) -> Announce:
    """Return the announce in a request's body; raise DecodeError otherwise."""
    fields = Fields(unpack(data, max_bytes=ANNOUNCE_MAX_BYTES), "announce")
    have = fields.raw_map("have", most=MAX_ARTIFACTS, each=INFO_HASH_BYTES + MAX_PIECES // 8)
    if not all(len(info_hash) == INFO_HASH_BYTES for info_hash in have):
        raise DecodeError("announce.have names something that is no info-hash")
    return Announce(
        node=NodeId(fields.raw("node", exactly=NODE_ID_BYTES)),
        sequence=Sequence(fields.integer("sequence", most=MAX_SEQUENCE)),
        state=_state(fields.text("state", most=16)),
        port=fields.integer("port", most=65535),
        http_port=fields.integer("http_port", most=65535, default=0),
        rack=fields.text("rack", most=64, default=""),
        have={InfoHash(info_hash): pieces for info_hash, pieces in have.items()},
        free_lease_slots=fields.integer("slots", most=MAX_LEASES, default=0),
        received=tuple(LeaseId(_whole(value)) for value in fields.items("received", most=MAX_LEASES)),
        returned=tuple(LeaseId(_whole(value)) for value in fields.items("returned", most=MAX_LEASES)),
        is_starving=fields.truth("starving", default=False),
        from_neighbours_bytes=fields.integer("from_neighbours", default=0),
        from_origin_bytes=fields.integer("from_origin", default=0),
        serves=tuple(_digest(value) for value in fields.items("serves", most=MAX_SERVED)),
        serves_bytes_per_s=fields.integer("serves_rate", default=0),
        loads_sent=fields.integer("loads_sent") if fields.has("loads_sent") else None,
        key=NodeKey(fields.raw_or_none("key", exactly=NODE_KEY_BYTES)),
        own_end=_own_end(fields.text("own_end", most=64, default="")),
        about=read_about(fields.mapping("about")) if fields.has("about") else None,
        urgent=_urgent(fields.mapping("urgent")),
        sent_ms=fields.integer("sent_ms", default=0),
    )


def _urgent(value: object) -> dict[InfoHash, Pieces]:
    """Return the pieces that are waited for; raise DecodeError for too many and for what is none."""
    if not isinstance(value, dict) or not all(isinstance(h, bytes) and len(h) == INFO_HASH_BYTES for h in value):
        raise DecodeError("announce.urgent names something that is no info-hash")
    indices = [index for each in value.values() for index in (each if isinstance(each, list) else [None])]
    if len(indices) > MAX_URGENT or not all(type(index) is int and 0 <= index < MAX_PIECES for index in indices):
        raise DecodeError(f"announce.urgent is not at most {MAX_URGENT} pieces")
    return {InfoHash(info_hash): piece_set.of(each) for info_hash, each in value.items()}


def _own_end(text: str) -> str:
    """Return a canonical address, nothing for what is none: it is a hint."""
    try:
        return read_address(text) if text else ""
    except ValueError:
        return ""


def _digest(value: object) -> Digest:
    if not isinstance(value, bytes) or len(value) != DIGEST_BYTES:
        raise DecodeError("announce.serves names something that is no digest")
    return Digest(value)


def _state(text: str) -> NodeState:
    try:
        return NodeState(text)
    except ValueError as error:
        raise DecodeError(f"announce.state is not one of {', '.join(NodeState)}") from error


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DecodeError("a lease id is not a whole number")
    return value


def encode_handout(handout: Handout) -> bytes:
    """Return the handout as the body of an answer."""
    return pack(
        {
            "announce_after": handout.announce_after_s,
            "neighbours": _listed(handout.neighbours),
            "leases": [[lease.id, lease.info_hash, lease.first, lease.count, lease.origin] for lease in handout.leases],
            "origins": list(handout.origins),
            "supplied": handout.is_supplied,
            "patience": handout.patience_s,
            "stage0": handout.is_stage0_wanted,
            **({"stage0_from": _listed(handout.stage0_from)} if handout.stage0_from else {}),
            "uplink": handout.uplink_bytes_per_s,
            "hidden": handout.is_hidden,
        }
    )


def decode_handout(data: bytes) -> Handout:
    """Return the handout in an answer's body; raise DecodeError otherwise.

    One bad neighbour costs that neighbour: it is left out. A mirror that is no URL is the server itself, an empty one,
    because leases name origins by their place.
    """
    fields = Fields(unpack(data, max_bytes=HANDOUT_MAX_BYTES), "handout")
    return Handout(
        announce_after_s=fields.number("announce_after", least=0.0, most=86400.0),
        neighbours=tuple(filter(None, map(_neighbour, fields.items("neighbours", most=MAX_NEIGHBOURS)))),
        leases=tuple(_lease(value) for value in fields.items("leases", most=MAX_LEASES)),
        origins=tuple(map(_origin, fields.items("origins", most=32))),
        is_supplied=fields.truth("supplied", default=False),
        patience_s=fields.number("patience", least=0.0, most=86400.0, default=1.0),
        is_stage0_wanted=fields.truth("stage0", default=False),
        stage0_from=tuple(filter(None, map(_neighbour, fields.items("stage0_from", most=MAX_STAGE0_FROM)))),
        uplink_bytes_per_s=fields.number("uplink", least=0.0, most=1e15, default=0.0),
        is_hidden=fields.truth("hidden", default=False),
    )


def _listed(neighbours: tuple[Neighbour, ...]) -> list[list[str | int]]:
    return [[each.host, each.port, each.http_port] for each in neighbours]


def _neighbour(value: object) -> Neighbour | None:
    """Return a neighbour that could be dialled, or None; whether a loopback one is near is for the node to say."""
    match value:
        case [str(host), int(port), int(http_port)] if 0 < port < 65536 and 0 <= http_port < 65536:
            try:
                address = read_address(host)
            except ValueError:
                return None
            is_canonical = address == host or (is_ipv6(host) and not is_ipv6(address))
            if is_canonical and is_dialable(address, is_here=True) and not _has_truth(value):
                return Neighbour(address, port, http_port)
    return None


def _origin(value: object) -> str:
    """Return a mirror's URL, nothing for what is none; raise DecodeError for what is no text."""
    if not isinstance(value, str):
        raise DecodeError("an origin is not text")
    try:
        return value and read_server(value) if len(value) <= 1024 else ""
    except MalformedSettingError:
        return ""


def _has_truth(values: Iterable[object]) -> bool:
    """Return whether a boolean stands among the values, which Python would take for a number."""
    return any(isinstance(value, bool) for value in values)


def _lease(value: object) -> Lease:
    match value:
        case [int(lease), bytes(info_hash), int(first), int(count), int(origin)]:
            is_in_bounds = 0 <= first < MAX_PIECES and 0 < count <= MAX_PIECES and 0 <= origin < 32 and lease >= 0
            if len(info_hash) == INFO_HASH_BYTES and is_in_bounds and not _has_truth(value):
                return Lease(LeaseId(lease), InfoHash(info_hash), PieceIndex(first), count, origin)
    raise DecodeError("a lease is not a number, an info-hash, a first piece, a count and an origin")
