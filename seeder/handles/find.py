"""Finds a release of a site by its number or by a channel, and the hashes of its images' pieces. Signs nothing."""

from __future__ import annotations

from pathlib import Path

from seeder.site.reader import channel_names, pointed_number, read_site_file
from seeder.site.torrent import info_hash_of, layer_of
from seeder.site.verify import read_chunks
from swarmboot.errors import BlobError, ReleaseError, SiteError
from swarmboot.ids import Sequence
from swarmboot.release import layout
from swarmboot.release.chunks import ChunkList
from swarmboot.release.manifest import Artifact
from swarmboot.text.spelling import did_you_mean


def numbered(site: Path, word: str) -> Sequence:
    """Return the number that a word means; raise ReleaseError for a number and SiteError for a channel not there."""
    numbers = layout.manifest_numbers(layout.check_site(site))
    if word.isascii() and word.isdigit():
        if int(word) not in numbers:
            raise ReleaseError(
                f"{site} has no release {word}", expected=f"one of {', '.join(map(str, numbers))}",
                hint="it was never published or has been pruned",
            )  # fmt: skip
        return Sequence(int(word))
    known = channel_names(site)
    if word not in known:
        hint = did_you_mean(word, known, otherwise="`swarmboot releases` lists numbers and channels")
        raise SiteError(f"{site} has no channel {word}", expected=f"a number, or one of {', '.join(known)}", hint=hint)
    return pointed_number(site, word)


def layers_of(site: Path, artifact: Artifact) -> tuple[bytes, ...]:
    """Return the hash of each piece of an image, as its torrent has it; raise BlobError for one that is not its own."""
    relative = layout.torrent_path(artifact.info_hash)
    data = read_site_file(site, relative, most_bytes=layout.TORRENT_MAX_BYTES, too_large=BlobError)
    if info_hash_of(data, where=str(site / relative)) != artifact.info_hash:
        raise BlobError(f"{site / relative} is another image's torrent", hint="publish the release again")
    return layer_of(data)


def chunks_of(site: Path, artifact: Artifact) -> ChunkList | None:
    """Return an image's chunks, None without a list; raise BlobError for one that is not its own."""
    return read_chunks(site, artifact, artifact.chunks) if artifact.chunks is not None else None
