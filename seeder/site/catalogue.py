"""What a site offers right now, kept up to date while releases are published and pruned under a running seeder.

It reads manifests without verifying them: the seeder holds no keys, and nodes verify for themselves. A file that cannot
be read, whatever it is, is passed over and named once; the service goes on. A manifest is told from another of the same
number, as in a site that was made anew, by its file. `read` touches files and may run in a
thread; `take` changes what is known and belongs to the thread that owns the registry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seeder.http.file_response import is_exhausted
from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import Torrent
from seeder.site.reader import read_regular_file
from swarmboot.errors import SwarmbootError
from swarmboot.ids import InfoHash, Sequence
from swarmboot.release import layout, manifest, trust
from swarmboot.release.manifest import Artifact, Manifest, Role

GRACE_S = 3600.0
"""How long a pruned release's torrents stay known to nodes that are still booting it."""

_Mark = tuple[int, int, int, int]
_NEVER: _Mark = (-1, 0, 0, 0)
"""The mark of a file that is to be read again: there was no descriptor left to open it."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look at a site found: manifests not known yet, rising, those gone, and lines about unreadable ones.

    Those of `changed` have appeared in the place of others of the same number: the site was made anew. `marks` say
    which files the known manifests were read from.
    """

    appeared: dict[Sequence, Manifest] = field(default_factory=dict)
    changed: frozenset[Sequence] = frozenset()
    gone: frozenset[Sequence] = frozenset()
    complaints: tuple[str, ...] = ()
    passed_over: dict[Sequence, _Mark] = field(default_factory=dict)
    marks: dict[Sequence, _Mark] = field(default_factory=dict)
    is_lost: bool = False


class Catalogue:
    """The manifests of one site, and the torrents that they name made known to a registry.

    `artifacts` has theirs by the hexadecimal digits of their digests, `release_bytes` by the same the size
    of all images that the newest release with that one has, stage 0 apart.
    """

    def __init__(self, folder: Path, registry: Registry, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self.manifests: dict[Sequence, Manifest] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.release_bytes: dict[str, int] = {}
        self._registry = registry
        self._clock = clock
        self._passed_over: dict[Sequence, _Mark] = {}
        self._marks: dict[Sequence, _Mark] = {}
        self._is_lost = False
        self._pruned_s: dict[InfoHash, float] = {}

    @property
    def newest(self) -> Sequence:
        """Return the highest manifest number; 0 before the first `refresh`."""
        return max(self.manifests, default=Sequence(0))

    def refresh(self) -> Findings:
        """Look at the site, take in what is found and return it."""
        return self.take(self.read())

    def read(self) -> Findings:
        """Return what has changed since the last `take`; a site that cannot be read now has not changed."""
        known = self.manifests  # `take` replaces it, and never changes it
        try:
            numbers = layout.manifest_numbers(self.folder)
        except OSError as error:
            said = () if self._is_lost else (f"the site cannot be read now: {error.strerror}",)
            return Findings(passed_over=self._passed_over, marks=self._marks, complaints=said, is_lost=True)
        appeared: dict[Sequence, Manifest] = {}
        passed_over: dict[Sequence, _Mark] = {}
        marks: dict[Sequence, _Mark] = {}
        complaints = []
        for number in numbers:
            path = self.folder / layout.manifest_path(number)
            mark = _mark(path)
            if mark == self._passed_over.get(number):
                passed_over[number] = mark
                continue
            marks[number] = mark
            if mark == self._marks.get(number):
                continue
            try:
                found = _read(path)
            except (SwarmbootError, OSError) as error:
                passed_over[number] = _NEVER if is_exhausted(error) else marks[number]
                del marks[number]
                if passed_over[number] != self._passed_over.get(number):
                    said_of = error.strerror if isinstance(error, OSError) else str(error)
                    complaints.append(f"manifest {number} is passed over, it cannot be read: {said_of}")
            else:
                if found != known.get(number):
                    appeared[number] = found
        changed = frozenset(appeared.keys() & known.keys())
        gone = frozenset(known.keys() - marks.keys())
        return Findings(appeared, changed, gone, tuple(complaints), passed_over, marks)

    def take(self, findings: Findings) -> Findings:
        """Take in what `read` found, forget torrents that were pruned and that no node has; return the findings."""
        self._passed_over, self._marks, self._is_lost = findings.passed_over, findings.marks, findings.is_lost
        if findings.appeared or findings.gone:
            kept = {number: each for number, each in self.manifests.items() if number not in findings.gone}
            self.manifests = kept | findings.appeared
            self._follow_torrents()
        self._forget_pruned()
        return findings

    def _follow_torrents(self) -> None:
        named = {each.info_hash: each for found in self.manifests.values() for each in found.artifacts}
        self.artifacts = {each.sha256.hex(): each for each in named.values()}
        first = {info_hash: each for found in self.manifests.values() for info_hash, each in found.boot_sets.items()}
        for info_hash, artifact in named.items():
            self._registry.add_torrent(
                Torrent(info_hash, artifact.size_bytes, artifact.piece_bytes, first.get(info_hash, 0))
            )
        self.release_bytes = dict(_release_bytes(self.manifests))
        now_s = self._clock()
        unnamed = self._registry.torrents.keys() - named.keys()
        self._pruned_s = {each: self._pruned_s.get(each, now_s) for each in unnamed}

    def _forget_pruned(self) -> None:
        due_s = self._clock() - GRACE_S
        due = [info_hash for info_hash, pruned_s in self._pruned_s.items() if pruned_s <= due_s]
        for info_hash in due:
            if self._registry.forget_torrent(info_hash):
                del self._pruned_s[info_hash]


def _release_bytes(manifests: Mapping[Sequence, Manifest]) -> Iterator[tuple[str, int]]:
    for _, found in sorted(manifests.items()):
        images = [each for each in found.artifacts if each.role not in (Role.KERNEL, Role.INITRAMFS)]
        for each in images:
            yield each.sha256.hex(), sum(image.size_bytes for image in images)


def _read(path: Path) -> Manifest:
    """Return a manifest without checking who signed it; raise OSError or TrustError if it cannot be read."""
    data = read_regular_file(path, most_bytes=trust.ENVELOPE_MAX_BYTES)
    return manifest.decode(trust.open_envelope(data, trust.Kind.MANIFEST).payload)


def _mark(path: Path) -> _Mark:
    """Return what changes when a file is written anew; zeros if it cannot be looked at.

    The time of the last change to its inode is among it, which nobody can set (inode(7), st_ctime).
    """
    try:
        status = path.lstat()
    except OSError:
        return 0, 0, 0, 0
    return status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size
