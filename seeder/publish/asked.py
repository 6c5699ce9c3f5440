"""What `publish` is asked about how machines start a release, and whether that can be done: looked at before all else.

It writes nothing. What it needs is imported when it is asked for: a release is published without most of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swarmboot.errors import MalformedSettingError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from seeder.publish.publish import PublishOptions
    from seeder.publish.release_dir import Release
    from seeder.publish.uki import Signing


@dataclass(frozen=True, slots=True)
class Stage0Asked:
    """What `publish` is asked about how machines start it, by the names of its options."""

    nodes: int
    uplink_bytes_per_s: float
    stage0_key: Path | None
    uki: bool
    secureboot_key: Path | None
    secureboot_cert: Path | None
    is_systemd: bool
    systemd_key: str | None

    @property
    def has_systemd(self) -> bool:
        """Return whether what systemd needs is to be written."""
        return self.is_systemd or self.systemd_key is not None

    def secureboot(self) -> Signing | None:
        """Return what signs a unified kernel image, if anything; raise MalformedSettingError for half of it."""
        from seeder.publish.uki import Signing

        if (self.secureboot_key is None) != (self.secureboot_cert is None):
            raise MalformedSettingError(
                "--secureboot-key and --secureboot-cert belong together", hint="give both or neither"
            )
        if self.secureboot_key is None or self.secureboot_cert is None:
            return None
        if not self.uki:
            raise MalformedSettingError("--secureboot-key signs a unified kernel image", hint="give --uki as well")
        return Signing(self.secureboot_key, self.secureboot_cert)

    def check_tools(self) -> None:
        """Raise ToolMissingError for a program that is missing, MalformedSettingError as `secureboot` does."""
        from seeder.publish.uki import check_tools

        signing = self.secureboot()
        if self.uki:
            check_tools(signing)

    def check(self, release: Release, site: Path, known: Sequence[Ed25519PrivateKey], options: PublishOptions) -> None:
        """Raise, before a key is made or anything is written, what publishing would come to later.

        `known` are the keys that are there: none where one is going to be made.
        """
        from seeder.publish.images.reading_order import check_trace
        from seeder.publish.publish import check_tokens
        from seeder.publish.stage0 import check_signing
        from seeder.publish.systemd_pull import check_systemd
        from seeder.publish.uki import check_unify
        from seeder.site.signers import check_signers

        if self.uki:
            check_unify(release, site, self.secureboot(), known)
        if self.stage0_key is not None:
            check_signing(release, self.stage0_key)
        if self.has_systemd:
            check_systemd(release, self.systemd_key)
        check_tokens(release, options.tokens)
        check_signers(site, known, trusted=options.trust, has_new_keys=options.has_new_keys)
        check_trace(release, options.trace, is_sorted=options.is_sorted)
