"""Whether the keys at hand may sign for a site: nodes that boot from it must go on believing it. Signs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from seeder.site.numbers import oldest_first
from seeder.site.reader import read_site_file
from swarmboot.errors import ThresholdError
from swarmboot.ids import KeyId
from swarmboot.release import layout, trust


def signer_ids(keys: Iterable[Ed25519PrivateKey]) -> frozenset[KeyId]:
    """Return the ids of the keys' public halves."""
    return frozenset(trust.key_id(trust.public_bytes(key)) for key in keys)


def own_keys(keys: Iterable[Ed25519PrivateKey]) -> trust.KeySet:
    """Return the key set that any one of these keys can speak for."""
    return trust.key_set(trust.public_bytes(key) for key in keys)


def check_signers(
    site: Path, keys: Sequence[Ed25519PrivateKey], *, trusted: trust.KeySet | None, has_new_keys: bool | None = None
) -> None:
    """Raise ThresholdError if nodes of this site would not believe what `keys` sign.

    Judged by the key set that nodes are built with if it is known, else by the site's last rotation, else by who signed
    the newest manifest. `has_new_keys` says that nodes are being given new keys, so that what the site has does not
    count; None that this cannot be said, as where what was signed before is pointed to.
    """
    rotations = [] if has_new_keys else layout.rotations(site)
    if trusted is not None:
        check_threshold(trust.follow(trusted, rotations), keys)
    elif rotations:
        latest = trust.open_envelope(rotations[-1], trust.Kind.KEYS).payload
        check_threshold(trust.decode_key_set(latest), keys)
    elif not has_new_keys:
        _check_same(last_signers(site), keys, site, may_be_new=has_new_keys is not None)


def check_threshold(trusted: trust.KeySet, keys: Iterable[Ed25519PrivateKey]) -> None:
    """Raise ThresholdError if fewer of `keys` are in the key set than it asks for."""
    given = signer_ids(keys)
    if len(given & set(trusted.keys)) < trusted.threshold:
        raise ThresholdError(
            "these keys are not enough to sign for this site",
            expected=f"{trusted.threshold} of {shown_ids(trusted.keys)}",
            found=shown_ids(given),
            hint="give the missing keys with --key, once for each",
        )


def _check_same(before: frozenset[KeyId], keys: Sequence[Ed25519PrivateKey], site: Path, *, may_be_new: bool) -> None:
    given = signer_ids(keys)
    otherwise = "run `swarmboot rotate`, or say --new-keys if the nodes are rebuilt"
    if not before <= given:
        raise ThresholdError(
            f"{site} was last published with other keys, and nodes built with those would refuse this",
            expected=shown_ids(before),
            found=shown_ids(given),
            hint=f"give those keys with --key{f', {otherwise}' if may_be_new else ''}",
        )


def last_signers(site: Path) -> frozenset[KeyId]:
    """Return the ids of the keys that signed the site's newest manifest; none for an empty site."""
    numbers = oldest_first(site)
    if not numbers:
        return frozenset()
    data = read_site_file(site, layout.manifest_path(numbers[-1]), most_bytes=trust.ENVELOPE_MAX_BYTES)
    return frozenset(trust.open_envelope(data, trust.Kind.MANIFEST).signatures)


def shown_ids(names: Iterable[KeyId]) -> str:
    """Return key ids as a person compares them: the first 16 hexadecimal digits of each."""
    return ", ".join(sorted(name.hex()[:16] for name in names)) or "none"
