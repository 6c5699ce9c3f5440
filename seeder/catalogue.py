"""What a site offers right now, kept up to date while releases are published under a running seeder.

It reads manifests without verifying them: the seeder holds no keys, and nodes verify for themselves.
"""

from __future__ import annotations

from pathlib import Path

from seeder.registry import Registry, Torrent
from swarmboot import manifest, site, trust
from swarmboot.errors import ManifestError
from swarmboot.ids import Sequence
from swarmboot.manifest import Manifest


class Catalogue:
    """The manifests of one site, and the torrents that they name made known to a registry."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.folder = folder
        self.manifests: dict[Sequence, Manifest] = {}
        self._registry = registry

    @property
    def newest(self) -> Sequence:
        """Return the highest manifest number; 0 before the first `refresh`."""
        return max(self.manifests, default=Sequence(0))

    def refresh(self) -> list[Manifest]:
        """Read manifests that have appeared since the last call and return them, rising; pass over unreadable ones."""
        appeared = []
        for number in site.manifest_numbers(self.folder):
            if number in self.manifests:
                continue
            path = self.folder / site.manifest_path(number)
            try:
                found = manifest.decode(trust.open_envelope(path.read_bytes(), trust.Kind.MANIFEST).payload)
            except (ManifestError, OSError):
                continue
            self.manifests[number] = found
            appeared.append(found)
            for artifact in found.artifacts:
                self._registry.add_torrent(Torrent(artifact.info_hash, artifact.size_bytes, artifact.piece_bytes))
        return appeared
