"""Whether what the keys have signed may be booted here and now: its number, its fleet, its expiry.

Follows The Update Framework, specification 1.0.33, sections 5.3.5 (rollback), 5.3.11 (recovery from fast-forward) and
5.4.4 (freeze). It will not check a signature or read a clock.
"""

from __future__ import annotations

from swarmboot.errors import ExpiredError, FleetError, RollbackError
from swarmboot.ids import Sequence
from swarmboot.release.manifest import Manifest
from swarmboot.release.trust import KeySet


def check_floor(sequence: Sequence, *, floor: Sequence) -> None:
    """Raise RollbackError if a manifest is older than one this machine has already been promised."""
    if sequence < floor:
        raise RollbackError(
            "the manifest is older than this node may boot",
            expected=f"sequence {floor} or later",
            found=str(sequence),
            hint="publish the release again, which gives it a new number",
        )


def is_floor_lifted(trusted: KeySet, reached: KeySet) -> bool:
    """Return whether the numbers that `trusted` keys signed no longer bind a release that `reached` has signed.

    A floor binds for as long as the keys that it was given with could alone sign what is believed now. Once too few of
    them are left, whatever is believed was signed after the rotation, and its numbers may begin lower: so an operator
    recovers whose stolen keys have used up the numbers (TUF 1.0.33, section 5.3.11).
    """
    return len(trusted.keys.keys() & reached.keys.keys()) < reached.threshold


def check_fleet(found: str, *, wanted: str, what: str) -> None:
    """Raise FleetError if what was signed names another fleet than `wanted`."""
    if found != wanted:
        raise FleetError(
            f"the {what} is another fleet's",
            expected=f"fleet {wanted!r}",
            found=f"fleet {found!r}",
            hint="publish with --fleet, or correct what the initramfs was built with",
        )


def check_pointer_expiry(channel: str, expires_unix_s: int, *, now_unix_s: float, is_clock_right: bool) -> None:
    """Raise ExpiredError if a pointer may no longer be taken for the newest, unless the clock cannot be trusted."""
    if expires_unix_s and is_clock_right and now_unix_s > expires_unix_s:
        raise ExpiredError(
            f"the pointer of channel {channel} has expired",
            expected="a pointer signed again since",
            found=f"one that expired {(now_unix_s - expires_unix_s) / 3600:.1f} hours ago",
            hint="run `swarmboot publish` again; if it was, somebody serves an old site",
        )


def check_expiry(manifest: Manifest, *, now_unix_s: float, is_clock_right: bool) -> None:
    """Raise ExpiredError if the manifest has expired, unless the clock cannot be trusted."""
    if is_clock_right and now_unix_s > manifest.expires_unix_s:
        raise ExpiredError(
            "the manifest has expired",
            expected="a manifest published again since",
            found=f"one that expired {(now_unix_s - manifest.expires_unix_s) / 3600:.1f} hours ago",
            hint="run `swarmboot publish` again",
        )
