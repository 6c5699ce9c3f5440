"""A site's canaries: a file for each channel that has one, signed as channels are. It decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from seeder.site.reader import read_site_file
from seeder.site.writer import SiteWriter
from swarmboot.errors import ManifestError
from swarmboot.release import layout, trust
from swarmboot.release.canary import Canary, decode_canary, encode_canary


def canary_channels(site: Path) -> list[str]:
    """Return the names of the channels that have a canary, sorted."""
    return sorted(path.stem for path in (site / "canaries").glob("*.swarm"))


def read_canary(site: Path, channel: str, keys: trust.KeySet | None) -> Canary | None:
    """Return a channel's canary that these keys have signed, None if it has none; without keys it is not believed.

    Raises BlobError for a file that cannot be read, and trust errors as `trust.verify` does.
    """
    relative = layout.canary_path(channel)
    if not (site / relative).exists():
        return None
    data = read_site_file(site, relative, most_bytes=trust.CHANNEL_MAX_BYTES)
    envelope = trust.open_envelope(data, trust.Kind.CANARY)
    canary = decode_canary(trust.verify(data, trust.Kind.CANARY, keys) if keys else envelope.payload)
    if canary.channel != channel:
        raise ManifestError(f"{site / relative} is another channel's", expected=channel, found=canary.channel)
    return canary


def write_canary(writer: SiteWriter, canary: Canary, keys: Sequence[Ed25519PrivateKey]) -> None:
    """Sign a canary and write it."""
    writer.write(layout.canary_path(canary.channel), trust.sign(trust.Kind.CANARY, encode_canary(canary), keys))


def end_canary(writer: SiteWriter, channel: str) -> bool:
    """Take a channel's canary away; return whether there was one."""
    relative = layout.canary_path(channel)
    is_there = writer.path(relative).exists()
    if is_there:
        writer.remove(relative)
    return is_there
