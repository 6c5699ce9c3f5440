"""What all racks of one chaos run share: keys, three releases, a site that holds two of them, and certificates."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netsim.lab.rack.layout import SERVER_ADDRESS
from netsim.lab.run.payload import ROOT_IMAGE_NAMES, digest, make_image
from netsim.lab.strategies.certificate import write_certificate
from netsim.lab.strategies.swarmboot import run_part

if TYPE_CHECKING:
    from collections.abc import Iterable

IMAGE = ROOT_IMAGE_NAMES[0]
RELEASES = ("old", "current", "next")
_FIRST_IMAGE_SEED = 4000


@dataclass(frozen=True, slots=True)
class Depot:
    """A folder in RAM, for as long as the run lasts. Racks copy from it and change nothing in it."""

    folder: Path

    @property
    def key(self) -> Path:
        """Return the fleet's signing key."""
        return self.folder / "keys" / "swarmboot.key"

    @property
    def trust(self) -> Path:
        """Return the fleet's public key."""
        return self.folder / "keys" / "swarmboot.pub"

    @property
    def site(self) -> Path:
        """Return the site that points to the current release and still holds the old one."""
        return self.folder / "site"

    @property
    def old_site(self) -> Path:
        """Return the site as it was when the old release was the newest."""
        return self.folder / "old-site"

    @property
    def state(self) -> Path:
        """Return the folder of the seeder's authority."""
        return self.folder / "state"

    @property
    def proxy_certificate(self) -> tuple[Path, Path]:
        """Return the certificate and the key of whoever stands in for the seeder at its address."""
        return self.folder / "proxy.pem", self.folder / "proxy.key"

    def release(self, name: str) -> Path:
        """Return the directory of one of RELEASES."""
        return self.folder / name

    def digests(self, names: Iterable[str]) -> frozenset[bytes]:
        """Return the SHA-256 of the root images of those releases."""
        return frozenset(digest(self.release(name) / IMAGE) for name in names)

    def publish_command(self, name: str, site: Path) -> tuple[str, ...]:
        """Return what publishes one of RELEASES to a site, for `python -m`."""
        return ("swarmboot", "publish", "--force", str(self.release(name)), "--site", str(site), "--key", str(self.key))


def build_depot(folder: Path, size_bytes: int) -> Depot:
    """Return a depot in an empty folder; raise LabError if one of our programs fails."""
    depot = Depot(folder)
    for number, name in enumerate(RELEASES):
        depot.release(name).mkdir()
        make_image(depot.release(name) / IMAGE, size_bytes, seed=_FIRST_IMAGE_SEED + number)
    run_part("swarmboot", "keygen", "--out", str(folder / "keys"))
    run_part(*depot.publish_command("old", depot.site))
    shutil.copytree(depot.site, depot.old_site)
    run_part(*depot.publish_command("current", depot.site))
    certificate_path, key_path = depot.proxy_certificate
    write_certificate(SERVER_ADDRESS, certificate_path=certificate_path, key_path=key_path)
    run_part("leecher", "--help")  # leaves its modules compiled, as a node's runtime image has them
    return depot
