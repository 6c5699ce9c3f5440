"""What an initramfs that is built for a publisher's own release believes: the publisher's keys, and this server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from seeder.hook.cli import RUNTIME
from seeder.hook.install import Bake
from seeder.http.authority import make_authority
from seeder.record.place import state_folder
from seeder.takeover.directory import Adopted
from seeder.takeover.stage0 import Asked, Wanted
from swarmboot.errors import MalformedSettingError
from swarmboot.release.trust import format_public, public_bytes

_KEYS_NAME = "fleet.pub"


def wanted(
    trust: tuple[Path, ...], keys: Sequence[Ed25519PrivateKey], ca: Path | None = None, runtime: Path | None = None
) -> Asked:
    """Return how the initramfs of a release that was taken over is to be built.

    Without `trust` its nodes believe the one key that signs; without `ca` the authority of this machine's seeder,
    which is made if it has none yet. Raises MalformedSettingError if several keys sign and no `trust` says how many
    must.
    """
    if not trust and len(keys) != 1:
        raise MalformedSettingError(
            "whom shall nodes believe?",
            expected="--trust PUB, which says how many of the keys must have signed",
            found=f"{len(keys)} signing keys",
        )

    def build(adopted: Adopted) -> Wanted:
        believed = trust
        if not believed:
            own = adopted.modules / _KEYS_NAME
            own.write_text(format_public([public_bytes(keys[0])]))
            believed = (own,)
        return Wanted(Bake(believed, ca or make_authority(state_folder())), runtime or RUNTIME)

    return build
