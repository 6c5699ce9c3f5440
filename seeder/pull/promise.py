"""What another site promises: a channel and its manifest, signed by trusted keys, and never older than what is here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seeder.pull.client import Remote
from seeder.site.reader import Pointed, channel_names, open_pointed, read_site_file
from swarmboot.errors import ManifestError, RollbackError, SiteError, TrustError
from swarmboot.ids import Sequence
from swarmboot.release import freshness, layout, trust
from swarmboot.release.manifest import Manifest

_HINT = "the other site is an old one, or one made anew: pull into an empty folder if that is meant"


@dataclass(frozen=True, slots=True)
class Promise:
    """A channel as the other site has it now: its file and its manifest's, both verified, and what is in them."""

    target: trust.Channel
    keys: trust.KeySet
    channel_file: bytes
    manifest_file: bytes
    pointed: Pointed

    @property
    def manifest(self) -> Manifest:
        """Return the manifest."""
        return self.pointed.manifest

    @property
    def channel_path(self) -> str:
        """Return where the channel's file is in a site."""
        return layout.channel_path(self.target.name)

    @property
    def manifest_path(self) -> str:
        """Return where the manifest's file is in a site."""
        return layout.manifest_path(self.target.sequence)


def read_promise(remote: Remote, name: str, trusted: trust.KeySet, *, now_unix_s: float) -> Promise:
    """Return what a channel of the other site points to.

    Raises TransferError if it does not come, TrustError for what the keys do not vouch for or what has expired.
    """
    channel_file = remote.document(layout.channel_path(name), max_bytes=trust.CHANNEL_MAX_BYTES)
    keys, target, _ = trust.open_channel_file(channel_file, trusted)
    if target.name != name:
        raise ManifestError("the server answers with another channel", expected=name, found=target.name)
    path = layout.manifest_path(target.sequence)
    manifest_file = remote.document(path, max_bytes=trust.ENVELOPE_MAX_BYTES)
    pointer, rotations = trust.split_channel_file(channel_file)
    pointed = open_pointed(manifest_file, target, pointer, rotations, keys, where=f"{remote.url}/{path}")
    freshness.check_expiry(pointed.manifest, now_unix_s=now_unix_s, is_clock_right=True)
    freshness.check_pointer_expiry(name, target.expires_unix_s, now_unix_s=now_unix_s, is_clock_right=True)
    return Promise(target, keys, channel_file, manifest_file, pointed)


def was_at(site: Path, promise: Promise, trusted: trust.KeySet) -> Sequence:
    """Return the number that the channel has here, 0 if it is not here yet.

    Raises RollbackError if what is promised is older than what is here, or another manifest of the same number, and
    SiteError if what is here was not signed by the trusted keys.
    """
    manifest = site / promise.manifest_path
    if manifest.exists() and manifest.read_bytes() != promise.manifest_file:
        raise RollbackError(f"{manifest} is another manifest {promise.target.sequence} than is promised", hint=_HINT)
    if promise.target.name not in channel_names(site):
        return Sequence(0)
    data = read_site_file(site, promise.channel_path, most_bytes=trust.CHANNEL_MAX_BYTES)
    try:
        keys, here, _ = trust.open_channel_file(data, trusted)
    except TrustError as error:
        what = f"{site / promise.channel_path} is not signed by the trusted keys"
        raise SiteError(what, found=error.what, hint="pull into a folder of its own") from error
    freshness.check_fleet(promise.target.fleet, wanted=here.fleet, what="channel")
    if not _is_forward(keys, here, promise):
        raise RollbackError(
            f"channel {here.name} is newer here than what is promised",
            expected=f"manifest {here.sequence} or later",
            found=f"manifest {promise.target.sequence}",
            hint=_HINT,
        )
    return here.sequence


def _is_forward(keys: trust.KeySet, here: trust.Channel, promise: Promise) -> bool:
    """Return whether neither keys nor number nor the pointer's end go back; after a theft numbers may begin lower."""
    if promise.keys.version != keys.version:
        is_newer = promise.keys.version > keys.version
        return is_newer and (freshness.is_floor_lifted(keys, promise.keys) or promise.target.sequence >= here.sequence)
    if promise.target.sequence == here.sequence:
        return promise.target.expires_unix_s >= here.expires_unix_s or not promise.target.expires_unix_s
    return promise.target.sequence > here.sequence
