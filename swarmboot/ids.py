"""The names of things: who, which torrent, which piece, which manifest. Identifiers are types, not bare bytes."""

from __future__ import annotations

import os
from typing import NewType

NodeId = NewType("NodeId", bytes)
"""16 random bytes that name one run of one leecher; never derived from an address or a hostname."""

NodeKey = NewType("NodeKey", bytes)
"""16 random bytes that a node keeps to itself and the seeder: whoever has them may speak for its id. Empty for none."""

InfoHash = NewType("InfoHash", bytes)
"""32 bytes: the SHA-256 of a BitTorrent v2 info dictionary (BEP 52)."""

Digest = NewType("Digest", bytes)
"""32 bytes: the SHA-256 of a whole artifact."""

KeyId = NewType("KeyId", bytes)
"""16 bytes: the start of the SHA-256 of a raw Ed25519 public key."""

PieceIndex = NewType("PieceIndex", int)
"""A piece's position in its torrent, from 0."""

Sequence = NewType("Sequence", int)
"""A manifest's number, up to MAX_SEQUENCE; grows by one with every publish, and a node never goes back."""

LeaseId = NewType("LeaseId", int)
"""A lease's number, unique within one run of the seeder."""

MAX_SEQUENCE = 10**15 - 1
"""The highest number that a manifest may have: 15 digits, which every place that reads or names one takes."""

NODE_ID_BYTES = 16
NODE_KEY_BYTES = 16
INFO_HASH_BYTES = 32
DIGEST_BYTES = 32
KEY_ID_BYTES = 16


def new_node_id() -> NodeId:
    """Return a fresh node id from the operating system's random source."""
    return NodeId(os.urandom(NODE_ID_BYTES))


def new_node_key() -> NodeKey:
    """Return a fresh node key from the operating system's random source."""
    return NodeKey(os.urandom(NODE_KEY_BYTES))
