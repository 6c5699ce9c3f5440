"""Which bytes of the wanted images are in a cache, by what the folder and the lists of chunks say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from leecher.cache.folder import CacheFolder, open_cache
from leecher.policy.copying import covered
from swarmboot.errors import ManifestError, TransferError
from swarmboot.ids import Digest, InfoHash
from swarmboot.release import layout
from swarmboot.release.chunks import ChunkList, Copy, copies, decode_chunks
from swarmboot.release.manifest import Artifact
from swarmboot.release.piece_set import Pieces


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What can be copied of each image, rising, and which of its pieces lie whole in that."""

    folder: CacheFolder
    copies: Mapping[InfoHash, tuple[Copy[Digest], ...]]
    pieces: Mapping[InfoHash, Pieces]


def plan_of(
    cache: str,
    artifacts: tuple[Artifact, ...],
    documents: dict[str, bytes],
    *,
    tell: Callable[[str], None],
    read: Callable[[str, int], bytes] | None = None,
) -> CopyPlan | None:
    """Return what the cache that `swarmboot.cache` names has of these artifacts, None if there is no such cache.

    `read` returns the bytes under a site's path, at most so many, and raises TransferError: lists that are of use are
    added to the documents. One that cannot be had is done without.
    """
    folder = open_cache(cache, tell=tell)
    if folder is None:
        return None
    if read is not None:
        for path, size_bytes in lists_wanted(folder, artifacts).items():
            with suppress(TransferError):
                documents[path] = read(path, size_bytes)
    return plan_copies(folder, artifacts, documents)


def lists_wanted(folder: CacheFolder, artifacts: Iterable[Artifact]) -> dict[str, int]:
    """Return the paths and sizes of the lists by which the artifacts can be put together out of what is cached."""
    there = {(each.sha256, each.size_bytes) for each in folder.images}
    return {
        layout.blob_path(each.chunks.sha256): each.chunks.size_bytes
        for each in artifacts
        if each.chunks is not None and there and (each.sha256, each.size_bytes) not in there
    }


def plan_copies(folder: CacheFolder, artifacts: Iterable[Artifact], documents: Mapping[str, bytes]) -> CopyPlan:
    """Return what can be copied: a whole image under its own digest, else what the lists have in common.

    `documents` has the artifacts' own lists; one that is not what the manifest names is passed over.
    """
    there = {(each.sha256, each.size_bytes): each for each in folder.images}
    found: dict[InfoHash, tuple[Copy[Digest], ...]] = {}
    olds: dict[Digest, ChunkList] | None = None
    for artifact in artifacts:
        same = there.get((artifact.sha256, artifact.size_bytes))
        if same is not None:
            found[artifact.info_hash] = (Copy(0, artifact.size_bytes, same.sha256, 0),)
        elif (wanted := _list_of(artifact, documents)) is not None:
            olds = folder.lists() if olds is None else olds
            found[artifact.info_hash] = copies(wanted, olds)
    pieces = {each.info_hash: _pieces(each, found.get(each.info_hash, ())) for each in artifacts}
    return CopyPlan(folder, found, {h: each for h, each in pieces.items() if each})


def _pieces(artifact: Artifact, parts: tuple[Copy[Digest], ...]) -> Pieces:
    spans = ((each.first_byte, each.size_bytes) for each in parts)
    return covered(spans, size_bytes=artifact.size_bytes, piece_bytes=artifact.piece_bytes)


def _list_of(artifact: Artifact, documents: Mapping[str, bytes]) -> ChunkList | None:
    if artifact.chunks is None:
        return None
    data = documents.get(layout.blob_path(artifact.chunks.sha256), b"")
    if hashlib.sha256(data).digest() != artifact.chunks.sha256:
        return None
    try:
        return decode_chunks(data, size_bytes=artifact.size_bytes)
    except ManifestError:
        return None
