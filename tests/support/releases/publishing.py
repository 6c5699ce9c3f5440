"""A release, the site it goes to and its key, for tests that publish."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from swarmboot.ids import Sequence
from swarmboot.release import key_files, manifest, trust
from swarmboot.release import layout as site
from swarmboot.release.manifest import Manifest
from tests.support.builders import build_release
from tests.support.commands import Done, run


@dataclass(frozen=True, slots=True)
class Place:
    """A release, the site it goes to and the key it is signed with."""

    release: Path
    site: Path
    key: Path
    public: Path

    @property
    def words(self) -> list[str]:
        """Return the real program's command line for a publish."""
        paths = (str(path) for path in (self.release, "--site", self.site, "--key", self.key))
        return [sys.executable, "-m", "swarmboot", "publish", "--force", *paths]

    def publish(self, *options: object) -> Done:
        """Publish in this process."""
        return run("publish", "--force", self.release, "--site", self.site, "--key", self.key, *options)

    def verify(self, *options: object) -> Done:
        """Verify in this process."""
        return run("verify", self.site, "--trust", self.public, *options)

    def manifest(self, number: int) -> Manifest:
        """Return a manifest by its number."""
        data = (self.site / site.manifest_path(Sequence(number))).read_bytes()
        return manifest.decode(trust.verify(data, trust.Kind.MANIFEST, key_files.read_trust([self.public])))


def build_place(folder: Path) -> Place:
    """Make a release of a root image and a plugin, and a key pair; the site is not there yet."""
    private, public = key_files.write_pair(folder / "keys")
    release = build_release(folder / "release", plugins=["10-a.squashfs"])
    return Place(release, folder / "site", private, public)


def published(folder: Path) -> dict[str, bytes]:
    """Return every file of a site but its lock, by its path in it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
