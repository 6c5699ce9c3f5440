"""BitTorrent v2 metadata of one artifact: hashed in one pass, written by libtorrent's bencoder, the same for ever.

Follows BEP 52: SHA-256 of 16 KiB blocks, hashed in pairs up to one hash a piece (the piece layer) and one a file (the
pieces root). Equal bytes give an equal torrent and info-hash: no tracker, no date, no comment, and the name is the
bytes' own SHA-256. It makes no v1 or hybrid torrent, opens no session and reads no file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, cast

import libtorrent as lt

from swarmboot.errors import BlobError, MalformedSettingError
from swarmboot.ids import DIGEST_BYTES, Digest, InfoHash
from swarmboot.release.manifest import MAX_PIECES
from swarmboot.release.merkle import BLOCK_BYTES, NO_BLOCK, merkle_root, piece_root, root_of_layer
from swarmboot.release.piece_set import piece_count
from swarmboot.text.units import format_size

LARGEST_PIECE_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Hashes:
    """What one pass over a file's bytes gives. `layer` has a hash a piece, in order."""

    sha256: Digest
    size_bytes: int
    piece_bytes: int
    layer: tuple[bytes, ...]
    root: bytes


@dataclass(frozen=True, slots=True)
class Torrent:
    """One artifact's torrent: the bytes of the .torrent file and the info-hash that names it."""

    data: bytes
    info_hash: InfoHash


def check_piece_bytes(piece_bytes: int, *, size_bytes: int) -> int:
    """Return `piece_bytes`; raise MalformedSettingError if no v2 torrent of that size can have pieces that long."""
    is_power = piece_bytes > 0 and piece_bytes & (piece_bytes - 1) == 0
    if not is_power or not BLOCK_BYTES <= piece_bytes <= LARGEST_PIECE_BYTES:
        raise MalformedSettingError(
            "not a piece length",
            expected=f"a power of two from {format_size(BLOCK_BYTES)} to {format_size(LARGEST_PIECE_BYTES)}",
            found=format_size(piece_bytes),
        )
    count = piece_count(size_bytes, piece_bytes)
    if count > MAX_PIECES:
        raise MalformedSettingError(
            "the piece length is too small for this file",
            expected=f"at most {MAX_PIECES} pieces",
            found=f"{count} of {format_size(piece_bytes)}",
        )
    return piece_bytes


class PieceHasher:
    """Hashes a file's bytes once, as they pass: whole, and piece by piece.

    Every chunk but the last must be a multiple of 16 KiB long.
    """

    def __init__(self, piece_bytes: int) -> None:
        self._piece_bytes = piece_bytes
        self._whole = hashlib.sha256()
        self._blocks: list[bytes] = []
        self._size_bytes = 0

    def update(self, chunk: bytes) -> None:
        """Take the next bytes; raise ValueError after a chunk that was no multiple of 16 KiB."""
        if self._size_bytes % BLOCK_BYTES:
            raise ValueError("only the last chunk may end within a block")
        self._whole.update(chunk)
        self._size_bytes += len(chunk)
        view = memoryview(chunk)
        starts = range(0, len(chunk), BLOCK_BYTES)
        self._blocks += [hashlib.sha256(view[start : start + BLOCK_BYTES]).digest() for start in starts]

    def finish(self) -> Hashes:
        """Return the hashes of everything taken."""
        per_piece = self._piece_bytes // BLOCK_BYTES
        if len(self._blocks) <= per_piece:
            root = merkle_root(self._blocks, pad=NO_BLOCK)
            layer: tuple[bytes, ...] = (root,)
        else:
            starts = range(0, len(self._blocks), per_piece)
            layer = tuple(piece_root(self._blocks[start : start + per_piece], per_piece) for start in starts)
            root = root_of_layer(layer, piece_bytes=self._piece_bytes)
        return Hashes(Digest(self._whole.digest()), self._size_bytes, self._piece_bytes, layer, root)


def build_torrent(hashes: Hashes) -> Torrent:
    """Return the torrent of a file with these hashes, named by its SHA-256 in hexadecimal."""
    name = hashes.sha256.hex().encode()
    info: dict[bytes, object] = {
        b"file tree": {name: {b"": {b"length": hashes.size_bytes, b"pieces root": hashes.root}}},
        b"meta version": 2,
        b"name": name,
        b"piece length": hashes.piece_bytes,
    }
    layers = {hashes.root: b"".join(hashes.layer)} if len(hashes.layer) > 1 else {}
    data: bytes = lt.bencode(cast(Any, {b"info": info, b"piece layers": layers}))
    return Torrent(data, info_hash_of(data, where="the torrent just made"))


def info_hash_of(data: bytes, *, where: str) -> InfoHash:
    """Return the v2 info-hash of a .torrent file's bytes, as libtorrent reads them.

    Raises BlobError if libtorrent finds them malformed, piece layers that do not belong to the root included, or if
    they are not a v2-only torrent.
    """
    try:
        hashes = lt.load_torrent_buffer(data).info_hashes
    except (RuntimeError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise BlobError(f"{where} is no torrent", found=str(error), hint="publish the release again") from error
    if not hashes.has_v2() or hashes.has_v1():
        raise BlobError(f"{where} is no torrent of ours", expected="BitTorrent v2 only", hint="publish again")
    return InfoHash(hashes.v2.to_bytes())


def layer_of(data: bytes) -> tuple[bytes, ...]:
    """Return the piece hashes in a .torrent file that `info_hash_of` has accepted; none for a file of one piece.

    Raises BlobError for piece layers that are none.
    """
    decoded: Any = lt.bdecode(data)
    layers = decoded.get(b"piece layers", {}) if isinstance(decoded, dict) else None
    if not isinstance(layers, dict) or not all(isinstance(layer, bytes) for layer in layers.values()):
        raise BlobError("a torrent's piece layers are no map of hashes", hint="publish the release again")
    joined = b"".join(layers.values())
    return tuple(joined[start : start + DIGEST_BYTES] for start in range(0, len(joined), DIGEST_BYTES))
