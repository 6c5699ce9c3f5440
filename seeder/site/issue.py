"""Sign a manifest and write it to a site, then the channel that points to it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from seeder.site.numbers import next_number
from seeder.site.reader import pointed_number, read_site_file
from seeder.site.writer import SiteWriter
from swarmboot.errors import BlobError, ManifestError, ReleaseError
from swarmboot.release import layout, trust
from swarmboot.release.manifest import Manifest, decode, encode


def issue(
    writer: SiteWriter,
    manifest: Manifest,
    channel: str,
    keys: Sequence[Ed25519PrivateKey],
    pointer_expires_unix_s: int = 0,
) -> Manifest:
    """Give the manifest the site's next number, sign and write it, then the channel that points to it; return it.

    Raises ReleaseError, before anything is written, if no node could read it, if it is a newer version's (it would lose
    what that has said in it), or if the numbers are used up.
    """
    check_known(manifest)
    sequence = next_number(writer.site)
    manifest = replace(manifest, sequence=sequence)
    payload = encode(manifest)
    try:
        decode(payload)
    except ManifestError as error:
        raise ReleaseError("the release does not fit into a manifest", found=str(error.__cause__)) from error
    signed = trust.sign(trust.Kind.MANIFEST, payload, keys)
    writer.write(layout.manifest_path(sequence), signed)
    point(writer, manifest, channel, keys, expires_unix_s=pointer_expires_unix_s)
    return manifest


def check_known(manifest: Manifest) -> None:
    """Raise ReleaseError for a manifest of which a newer version has written more than is known here."""
    if manifest.unknown:
        raise ReleaseError(
            f"manifest {manifest.sequence} was published by a newer swarmboot, and would lose what that has said in it",
            found=", ".join(manifest.unknown)[:80], hint="use a swarmboot that is no older",
        )  # fmt: skip


def point(
    writer: SiteWriter, manifest: Manifest, channel: str, keys: Sequence[Ed25519PrivateKey], *, expires_unix_s: int
) -> None:
    """Sign and write the channel's pointer to a manifest that the site holds; raise BlobError if it does not."""
    relative = layout.manifest_path(manifest.sequence)
    signed = read_site_file(writer.site, relative, most_bytes=trust.ENVELOPE_MAX_BYTES)
    digest = hashlib.sha256(signed).digest()
    pointer = trust.Channel(manifest.fleet, channel, manifest.sequence, digest, expires_unix_s)
    signed_pointer = trust.sign(trust.Kind.CHANNEL, trust.encode_channel(pointer), keys)
    channel_file = trust.encode_channel_file(signed_pointer, layout.rotations(writer.site))
    note_leaving(writer, channel)
    writer.write(layout.channel_path(channel), channel_file)


def note_leaving(writer: SiteWriter, channel: str) -> None:
    """Note at a manifest's file that a channel leaves it now: nodes may still be booting it (`seeder.site.prune`)."""
    with suppress(BlobError, ManifestError):
        writer.touch(layout.manifest_path(pointed_number(writer.site, channel)))
