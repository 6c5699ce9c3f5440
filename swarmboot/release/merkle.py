"""The hash tree of BitTorrent v2 (BEP 52): SHA-256 of 16 KiB blocks, hashed in pairs up to pieces and a root."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from swarmboot.ids import DIGEST_BYTES

BLOCK_BYTES = 1 << 14
NO_BLOCK = bytes(DIGEST_BYTES)
"""What stands for a block beyond the end of a file."""


def merkle_root(hashes: Sequence[bytes], *, pad: bytes) -> bytes:
    """Return the root of the binary tree over `hashes`, filled up with `pad` to a power of two."""
    level = list(hashes)
    level += [pad] * ((1 << (len(level) - 1).bit_length()) - len(level))
    while len(level) > 1:
        level = [hashlib.sha256(left + right).digest() for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def piece_root(blocks: Sequence[bytes], blocks_per_piece: int) -> bytes:
    """Return a piece's hash from those of its blocks; the last piece may have fewer."""
    return merkle_root([*blocks, *[NO_BLOCK] * (blocks_per_piece - len(blocks))], pad=NO_BLOCK)


def root_of_layer(layer: Sequence[bytes], *, piece_bytes: int) -> bytes:
    """Return a file's root from the hashes of its pieces, two at least."""
    blocks_per_piece = piece_bytes // BLOCK_BYTES
    return merkle_root(layer, pad=piece_root([], blocks_per_piece))
