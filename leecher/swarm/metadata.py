"""Torrents as libtorrent reads them, which are the ones that the manifest names (BEP 52)."""

from __future__ import annotations

from typing import Any

import libtorrent as lt

from swarmboot.errors import ManifestError
from swarmboot.ids import DIGEST_BYTES
from swarmboot.release.manifest import Artifact
from swarmboot.release.merkle import root_of_layer


def check_torrent(artifact: Artifact, torrent: bytes) -> None:
    """Raise ManifestError if a torrent is not the one that the manifest names."""
    view_of(artifact, torrent)


def view_of(artifact: Artifact, torrent: bytes) -> Any:
    """Return libtorrent's view of a torrent once it is the one the manifest names."""
    refusal = ManifestError(
        f"the torrent of {artifact.name} is not the one that was signed",
        expected=f"info-hash {artifact.info_hash.hex()[:16]}, {artifact.size_bytes} bytes",
        found="another",
        hint="publish again",
    )
    try:
        decoded: Any = lt.bdecode(torrent)
        metadata = lt.torrent_info(decoded)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise refusal from error
    # libtorrent lays out a file that ends within a piece as two: the file, and padding up to the end of the piece.
    padding_bytes = -artifact.size_bytes % artifact.piece_bytes
    sizes = (artifact.size_bytes, artifact.size_bytes + padding_bytes)
    is_right = metadata.info_hashes().v2.to_bytes() == artifact.info_hash and metadata.num_files() in (1, 2)
    if not is_right or metadata.total_size() not in sizes or metadata.piece_length() != artifact.piece_bytes:
        raise refusal
    if artifact.pieces > 1 and not _is_layer_right(decoded, artifact):
        raise refusal
    return metadata


def layer_of(artifact: Artifact, torrent: bytes) -> tuple[bytes, ...]:
    """Return the hashes of an artifact's pieces, of one piece its root, from the torrent that the manifest names."""
    check_torrent(artifact, torrent)
    decoded: Any = lt.bdecode(torrent)
    (entry,) = decoded[b"info"][b"file tree"].values()
    root: bytes = entry[b""][b"pieces root"]
    return tuple(_split(decoded[b"piece layers"][root])) if artifact.pieces > 1 else (root,)


def _split(joined: bytes) -> list[bytes]:
    return [joined[start : start + DIGEST_BYTES] for start in range(0, len(joined), DIGEST_BYTES)]


def _is_layer_right(decoded: Any, artifact: Artifact) -> bool:
    """Return whether the piece layer leads to the signed root (BEP 52); libtorrent 2.0.8 does not look."""
    try:
        (entry,) = decoded[b"info"][b"file tree"].values()
        root = entry[b""][b"pieces root"]
        joined = decoded.get(b"piece layers", {}).get(root, b"")
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    if not isinstance(root, bytes) or not isinstance(joined, bytes):
        return False
    layer = _split(joined)
    return len(layer) == artifact.pieces and root_of_layer(layer, piece_bytes=artifact.piece_bytes) == root
