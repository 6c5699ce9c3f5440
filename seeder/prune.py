"""Make room in a site: drop old manifests, and the blobs, torrents and sealed settings that no manifest kept needs.

What a channel points to always stays, and so do the newest manifests, because nodes may still be booting them.
"""

from __future__ import annotations

from dataclasses import dataclass

from seeder.numbers import oldest_first
from seeder.site_reader import channel_names, read_site_file, read_unbelieved
from seeder.site_writer import SiteWriter
from swarmboot import site as layout
from swarmboot import trust
from swarmboot.ids import Sequence


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was dropped and kept."""

    kept: tuple[Sequence, ...]
    dropped: tuple[Sequence, ...]
    files: int
    freed_bytes: int


def prune(writer: SiteWriter, *, keep: int) -> Pruned:
    """Drop all but the newest `keep` manifests and those that channels point to, and what nothing needs any more.

    Raises ManifestError or BlobError, with nothing dropped, if a manifest that stays cannot be read.
    """
    site = writer.site
    numbers = oldest_first(site)
    kept = sorted({*numbers[len(numbers) - min(keep, len(numbers)) :], *_pointed(writer)})
    wanted: set[str] = set()
    for number in kept:
        manifest = read_unbelieved(site, number)
        wanted |= {layout.secrets_path(digest) for digest in manifest.secrets.values()}
        for artifact in manifest.artifacts:
            wanted |= {layout.blob_path(artifact.sha256), layout.torrent_path(artifact.info_hash)}
    dropped = sorted(number for number in numbers if number not in kept)
    unwanted = [layout.manifest_path(number) for number in dropped]
    for folder in ("torrents", "blobs", "secrets"):
        present = sorted(f"{folder}/{path.name}" for path in (site / folder).glob("*"))
        unwanted += [relative for relative in present if relative not in wanted]
    freed_bytes = sum(writer.remove(relative) for relative in unwanted)
    return Pruned(tuple(kept), tuple(dropped), len(unwanted), freed_bytes)


def _pointed(writer: SiteWriter) -> set[Sequence]:
    numbers = set()
    for name in channel_names(writer.site):
        data = read_site_file(writer.site, layout.channel_path(name), most_bytes=trust.CHANNEL_MAX_BYTES)
        pointer, _ = trust.split_channel_file(data)
        numbers.add(trust.decode_channel(trust.open_envelope(pointer, trust.Kind.CHANNEL).payload).sequence)
    return numbers
