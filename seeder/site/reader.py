"""Reads what a site says, and believes none of it before the keys do. It writes nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from swarmboot.errors import BlobError, ManifestError, ReleaseError, SiteError, SwarmbootError, TrustError
from swarmboot.ids import KeyId, Sequence
from swarmboot.release import layout, trust
from swarmboot.release.manifest import Manifest, decode
from swarmboot.text.spelling import did_you_mean


@dataclass(frozen=True, slots=True)
class Pointed:
    """What a channel points to: the manifest, the keys that signed both files, and the rotations that lead to them.

    `expires_unix_s` is the pointer's own end, 0 without one.
    """

    channel: str
    manifest: Manifest
    signers: frozenset[KeyId]
    rotations: tuple[bytes, ...]
    expires_unix_s: int = 0


def read_regular_file(path: Path, *, most_bytes: int) -> bytes:
    """Return a regular file's bytes; raise OSError, also for anything else (a FIFO would block) and for more bytes."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"more than {most_bytes} bytes", str(path))
    return data


def read_site_file(
    site: Path, relative: str, *, most_bytes: int, too_large: type[SwarmbootError] = ManifestError
) -> bytes:
    """Return a file of the site; raise BlobError if it is missing, `too_large` if it is larger than its bound."""
    try:
        return read_regular_file(site / relative, most_bytes=most_bytes)
    except OSError as error:
        if error.errno == errno.EFBIG:
            expected = f"at most {most_bytes} bytes"
            raise too_large(f"{site / relative} is too large", expected=expected, hint="publish again") from error
        raise BlobError(
            f"{site / relative} cannot be read", found=error.strerror or "", hint="publish the release again"
        ) from error


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have what is wrong with a site's file say which file it is."""
    try:
        yield
    except ManifestError as error:
        what = f"{path} is damaged: {error.what}"
        raise ManifestError(
            what, expected=error.expected, found=error.found, hint="publish the release again"
        ) from error
    except TrustError as error:
        what = f"{path}: {error.what}"
        raise type(error)(what, expected=error.expected, found=error.found, hint=error.hint) from error


def channel_names(site: Path) -> list[str]:
    """Return the names of the site's channels, sorted."""
    return sorted(path.stem for path in (site / "channels").glob("*.swarm"))


def pointed_number(site: Path, channel: str) -> Sequence:
    """Return the number that a channel points to, without checking who signed it.

    Raises BlobError or ManifestError if it cannot be read.
    """
    relative = layout.channel_path(channel)
    data = read_site_file(site, relative, most_bytes=trust.CHANNEL_MAX_BYTES)
    with _naming(site / relative):
        pointer, _ = trust.split_channel_file(data)
        return trust.decode_channel(trust.open_envelope(pointer, trust.Kind.CHANNEL).payload).sequence


def read_channel(site: Path, name: str, trusted: trust.KeySet) -> tuple[trust.KeySet, Pointed]:
    """Return the key set that a channel leads to from `trusted`, and what it points to, every signature checked.

    Raises SiteError without such a channel, BlobError for a manifest that is missing or not the one pointed to, and
    trust errors as `trust.open_channel_file` and `trust.verify` do.
    """
    if name not in channel_names(site):
        known = channel_names(site)
        hint = did_you_mean(name, known, otherwise="publish to it first")
        raise SiteError(f"{site} has no channel {name}", expected=f"one of {', '.join(known) or 'none'}", hint=hint)
    data = read_site_file(site, layout.channel_path(name), most_bytes=trust.CHANNEL_MAX_BYTES)
    with _naming(site / layout.channel_path(name)):
        keys, target, _ = trust.open_channel_file(data, trusted)
    if target.name != name:
        raise ManifestError(
            f"{layout.channel_path(name)} is another channel's", expected=name, found=target.name, hint="publish again"
        )
    pointer, rotations = trust.split_channel_file(data)
    return keys, _pointed(site, target, pointer, rotations, keys)


def read_own_channel(site: Path, name: str, own: trust.KeySet) -> Pointed | None:
    """Return what a channel points to if `own` keys signed it, whatever the rotations; None if it is not there."""
    try:
        data = read_site_file(site, layout.channel_path(name), most_bytes=trust.CHANNEL_MAX_BYTES)
        pointer, rotations = trust.split_channel_file(data)
        target = trust.decode_channel(trust.verify(pointer, trust.Kind.CHANNEL, own))
        return _pointed(site, target, pointer, rotations, own)
    except (TrustError, BlobError):
        return None


def _pointed(
    site: Path, target: trust.Channel, pointer: bytes, rotations: tuple[bytes, ...], keys: trust.KeySet
) -> Pointed:
    relative = layout.manifest_path(target.sequence)
    data = read_site_file(site, relative, most_bytes=trust.ENVELOPE_MAX_BYTES)
    return open_pointed(data, target, pointer, rotations, keys, where=str(site / relative))


def open_pointed(
    data: bytes, target: trust.Channel, pointer: bytes, rotations: tuple[bytes, ...], keys: trust.KeySet, *, where: str
) -> Pointed:
    """Return what a verified pointer points to, whose file's bytes are these; `where` says where they are from.

    Raises BlobError for another manifest than the one that is pointed to, and trust errors as `trust.verify` does.
    """
    with _naming(Path(where)):
        manifest = decode(trust.verify(data, trust.Kind.MANIFEST, keys))
    found = hashlib.sha256(data).digest()
    if found != target.manifest_sha256:
        raise BlobError(
            f"{where} is not the manifest that the channel points to",
            expected=f"sha256 {target.manifest_sha256.hex()}",
            found=found.hex(),
            hint="publish the release again",
        )
    if (manifest.sequence, manifest.fleet) != (target.sequence, target.fleet):
        raise ManifestError(
            f"{where} contradicts the channel",
            expected=f"manifest {target.sequence} of fleet {target.fleet}",
            found=f"manifest {manifest.sequence} of fleet {manifest.fleet}",
        )
    signers = frozenset(trust.open_envelope(data, trust.Kind.MANIFEST).signatures)
    pointer_signers = frozenset(trust.open_envelope(pointer, trust.Kind.CHANNEL).signatures)
    return Pointed(target.name, manifest, signers & pointer_signers, rotations, target.expires_unix_s)


def all_vouched(site: Path, believed: trust.KeySet) -> dict[Sequence, Manifest]:
    """Return the manifests of a site that these keys vouch for, by number."""
    found = {}
    for number in layout.manifest_numbers(site):
        try:
            found[number] = read_vouched(site, number, believed)
        except (BlobError, TrustError):
            continue
    return found


def read_vouched(site: Path, number: Sequence, believed: trust.KeySet) -> Manifest:
    """Return a manifest that these keys vouch for; raise ReleaseError without it, trust errors if they do not."""
    if number not in layout.manifest_numbers(site):
        raise ReleaseError(
            f"{site} has no release {number}",
            expected=f"one of {', '.join(map(str, layout.manifest_numbers(site)))}",
            hint="it was never published or has been pruned: publish its folder again",
        )
    relative = layout.manifest_path(number)
    data = read_site_file(site, relative, most_bytes=trust.ENVELOPE_MAX_BYTES)
    with _naming(site / relative):
        manifest = decode(trust.verify(data, trust.Kind.MANIFEST, believed))
    if manifest.sequence != number:
        raise ManifestError(f"{layout.manifest_path(number)} is another release's", found=str(manifest.sequence))
    return manifest


def files_of(manifest: Manifest) -> set[str]:
    """Return the files that a manifest names, as paths in its site."""
    files = {layout.secrets_path(digest) for digest in manifest.sealed}
    for artifact in manifest.artifacts:
        files |= {layout.blob_path(artifact.sha256), layout.torrent_path(artifact.info_hash)}
        if artifact.chunks is not None:
            files.add(layout.blob_path(artifact.chunks.sha256))
    return files


def read_unbelieved(site: Path, sequence: Sequence) -> Manifest:
    """Return a manifest without checking who signed it; raise BlobError or ManifestError if it cannot be read."""
    relative = layout.manifest_path(sequence)
    data = read_site_file(site, relative, most_bytes=trust.ENVELOPE_MAX_BYTES)
    with _naming(site / relative):
        return decode(trust.open_envelope(data, trust.Kind.MANIFEST).payload)
