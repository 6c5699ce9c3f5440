"""Make room in a site: drop old manifests, and the blobs, torrents and sealed settings that no manifest kept needs.

What a channel points to always stays, and so do the newest manifests, those that are pinned, and those that a channel
pointed to a while ago, because nodes may still be booting them. When that was is said by a manifest file's modification
time: it is set anew when a channel leaves it (`seeder.publish.publish`).
"""

from __future__ import annotations

from dataclasses import dataclass

from seeder.site.device_trees import drop_trees
from seeder.site.issue import check_known
from seeder.site.numbers import oldest_first
from seeder.site.pins import pinned
from seeder.site.reader import channel_names, files_of, pointed_number, read_unbelieved
from seeder.site.systemd_files import blobs_of, drop_unled
from seeder.site.writer import SiteWriter
from swarmboot.ids import Digest, Sequence
from swarmboot.release import layout
from swarmboot.release.manifest import Role


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was dropped and kept; `spared` of the kept only because nodes may still be booting them."""

    kept: tuple[Sequence, ...]
    spared: tuple[Sequence, ...]
    dropped: tuple[Sequence, ...]
    files: int
    freed_bytes: int


def prune(writer: SiteWriter, *, keep: int, grace_s: float, now_unix_s: float) -> Pruned:
    """Drop all but the newest `keep` manifests, pinned ones and those that channels point to, and what none needs.

    One that a channel has pointed to within the last `grace_s` stays as well, with its blobs and torrents.
    Raises, with nothing dropped, ManifestError or BlobError if a manifest that stays cannot be read, and ReleaseError
    if a newer version has written it, which may need files that are not known here.
    """
    site = writer.site
    numbers = oldest_first(site)
    wanted_numbers = {*numbers[len(numbers) - min(keep, len(numbers)) :], *_pointed(writer), *pinned(site)}
    left_s = {number: writer.path(layout.manifest_path(number)).stat().st_mtime for number in numbers}
    spared = [each for each in numbers if each not in wanted_numbers and now_unix_s - left_s[each] < grace_s]
    kept = sorted({*wanted_numbers, *spared})
    wanted: set[str] = set()
    kernels: set[Digest] = set()
    for number in kept:
        manifest = read_unbelieved(site, number)
        check_known(manifest)
        wanted |= files_of(manifest)
        kernels |= {artifact.sha256 for artifact in manifest.with_role(Role.KERNEL)}
    wanted.update(blobs_of(site))
    dropped = sorted(number for number in numbers if number not in kept)
    unwanted = [layout.manifest_path(number) for number in dropped]
    for folder in ("torrents", "blobs", "secrets"):
        present = sorted(f"{folder}/{path.name}" for path in (site / folder).glob("*"))
        unwanted += [relative for relative in present if relative not in wanted]
    freed_bytes = sum(writer.remove(relative) for relative in unwanted) + drop_trees(writer, kernels)
    drop_unled(writer)
    return Pruned(tuple(kept), tuple(spared), tuple(dropped), len(unwanted), freed_bytes)


def _pointed(writer: SiteWriter) -> set[Sequence]:
    return {pointed_number(writer.site, name) for name in channel_names(writer.site)}
