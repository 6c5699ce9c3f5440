"""What nodes say to each other over UDP: who is there, and with which release. Both bounded."""

from __future__ import annotations

from dataclasses import dataclass

from swarmboot.codec import DecodeError, Fields, pack, unpack
from swarmboot.ids import (
    MAX_SEQUENCE,
    NODE_ID_BYTES,
    NodeId,
    Sequence,
)

DATAGRAM_MAX_BYTES = 1200
GROUP = "239.192.84.70"
"""Where a LAN is asked: in the organization-local scope (RFC 2365 section 6.2)."""
PORT = 8471

NONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks a LAN, or one address, who is there: `keys` are the ids of the keys that the asker trusts.

    `node` is a name for this conversation, by which a node knows its own datagrams; its id is the seeder's alone.
    `nonce` is a random number that answers repeat, empty from nodes of before there was one.
    """

    node: NodeId
    keys: tuple[bytes, ...]
    nonce: bytes = b""


@dataclass(frozen=True, slots=True)
class Presence:
    """Answers a probe: this node serves manifest number `sequence` at `http_port` and its pieces at `port`.

    `node` is the name in its own probes, `nonce` the probe's.
    """

    node: NodeId
    sequence: Sequence
    port: int
    http_port: int
    nonce: bytes = b""


def encode_probe(probe: Probe) -> bytes:
    """Return the probe as a datagram."""
    value = {"swarmboot": 1, "node": probe.node, "keys": list(probe.keys)}
    return pack({**value, "nonce": probe.nonce} if probe.nonce else value)


def encode_presence(presence: Presence) -> bytes:
    """Return the presence as a datagram."""
    value = {
        "swarmboot": 1,
        "node": presence.node,
        "sequence": presence.sequence,
        "port": presence.port,
        "http_port": presence.http_port,
    }
    return pack({**value, "nonce": presence.nonce} if presence.nonce else value)


def decode_datagram(data: bytes) -> Probe | Presence:
    """Return the probe or presence in a datagram; raise DecodeError otherwise."""
    fields = Fields(unpack(data, max_bytes=DATAGRAM_MAX_BYTES), "datagram")
    fields.integer("swarmboot", least=1, most=1)
    node = NodeId(fields.raw("node", exactly=NODE_ID_BYTES))
    nonce = fields.raw("nonce", exactly=NONCE_BYTES) if fields.has("nonce") else b""
    keys = fields.items("keys", most=32)
    if keys:
        if not all(isinstance(key, bytes) and len(key) == 16 for key in keys):
            raise DecodeError("datagram.keys is not a list of key ids")
        return Probe(node, tuple(keys), nonce)
    return Presence(
        node=node,
        sequence=Sequence(fields.integer("sequence", least=1, most=MAX_SEQUENCE)),
        port=fields.integer("port", least=1, most=65535),
        http_port=fields.integer("http_port", least=1, most=65535),
        nonce=nonce,
    )
