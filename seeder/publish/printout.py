"""What `publish` and `verify` tell a person, and the same as JSON. Pure: text and values, no printing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seeder.publish.publish import Published
from seeder.site.prune import Pruned
from seeder.site.reader import Pointed
from seeder.site.rotate import Rotated
from seeder.site.signers import shown_ids
from seeder.site.verify import Verified
from swarmboot.release.manifest import Artifact, Manifest, Role
from swarmboot.settings import TABLE
from swarmboot.text.units import format_size, parse_size

RESERVE_BYTES = parse_size(next(setting.default for setting in TABLE if setting.name == "reserve"))
"""The memory that a node keeps free beside its images unless it is told otherwise."""


def published_value(published: Published, *, site: Path) -> dict[str, Any]:
    """Return the one JSON object of `publish --json`; sizes in bytes, times in Unix seconds."""
    manifest = published.manifest
    return {
        "site": str(site),
        "channel": published.channel,
        "fleet": manifest.fleet,
        "name": manifest.name,
        "sequence": manifest.sequence,
        "is_new": published.is_new,
        "issued_unix_s": manifest.issued_unix_s,
        "expires_unix_s": manifest.expires_unix_s,
        "artifacts": [artifact_value(artifact) for artifact in manifest.artifacts],
        "settings": len(manifest.env),
        "secrets": {name: digest.hex() for name, digest in manifest.secrets.items()},
        "node_secrets": {layer: digest.hex() for layer, digest in manifest.node_secrets.items()},
        "profiles": [profile.name for profile in manifest.profiles],
        "signers": [signer.hex() for signer in published.signers],
        "copied_bytes": published.copied_bytes,
        "reused_bytes": published.reused_bytes,
        "reserve_bytes": RESERVE_BYTES,
        "ram_bytes": {name: _ram_bytes(published, name) for name in published.images_bytes},
        "notes": list(published.notes),
    }


def artifact_value(artifact: Artifact) -> dict[str, Any]:
    """Return one artifact as JSON has it: digests in hexadecimal, sizes in bytes."""
    return {
        "name": artifact.name,
        "role": artifact.role.value,
        "format": artifact.format,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256.hex(),
        "info_hash": artifact.info_hash.hex(),
        "piece_bytes": artifact.piece_bytes,
        "pieces": artifact.pieces,
        "chunks": {"sha256": artifact.chunks.sha256.hex(), "size_bytes": artifact.chunks.size_bytes}
        if artifact.chunks
        else None,
    }


def published_lines(published: Published, *, site: Path, is_dry: bool = False) -> list[str]:
    """Return what `publish` prints, or what it would have done."""
    manifest = published.manifest
    lines = [f"note: {note}" for note in published.notes]
    lines += artifact_table(manifest.artifacts)
    if published.is_new:
        done = "would publish" if is_dry else "published"
        lines.append(f"{done} {manifest.name} as manifest {manifest.sequence} on channel {published.channel}")
    else:
        lines.append(
            f"nothing changed: channel {published.channel} has {manifest.name} as manifest {manifest.sequence}"
        )
    copied, reused = format_size(published.copied_bytes), format_size(published.reused_bytes)
    how = "to copy" if is_dry else "copied"
    lines.append(f"site {site}: {copied} {how}, {reused} there already; may be booted until {_day(manifest)}")
    if manifest.sealed:
        lines.append("secret settings are sealed for the fleet token: serve with --fleet-token, and bake it into nodes")
    signers = shown_ids(published.signers) if published.signers else "a signing key of yours, which is made then"
    lines.append(f"fleet {manifest.fleet}, signed by {signers}")
    last = "nothing was written" if is_dry else f"serve it: swarmboot serve {shlex.quote(str(site))}"
    return [*lines, *ram_lines(published), last]


def artifact_table(artifacts: Iterable[Artifact]) -> list[str]:
    """Return a table of artifacts, one a line under a heading."""
    rows = [("ROLE", "FILE", "FORMAT", "SIZE", "PIECES", "INFO-HASH")]
    rows += [
        (
            artifact.role.value,
            artifact.name,
            artifact.format,
            format_size(artifact.size_bytes),
            f"{artifact.pieces} x {format_size(artifact.piece_bytes).replace('.0', '')}",
            artifact.info_hash.hex()[:16],
        )
        for artifact in artifacts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def ram_lines(published: Published) -> list[str]:
    """Return what a node needs in RAM; a line a profile where profiles differ."""
    needs = {name: (size, published.unpacked_bytes[name]) for name, size in published.images_bytes.items()}
    uncounted = _uncounted(published.manifest)
    tail = f", and room to unpack {', '.join(uncounted)}" if uncounted else ""
    if len(set(needs.values())) == 1:
        needs = {"": needs[""]}
    own = f"{format_size(published.boot.fetching_bytes)} to boot, " if published.boot else ""
    tail += "" if published.boot else "; kernel and initramfs, of which nothing is known here, come on top of that"
    return [
        f"a node{f' of profile {name}' if name else ''} needs {format_size(_ram_bytes(published, name))} of RAM: {own}"
        f"{format_size(size)} of images{f', {format_size(unpacked)} unpacked' if unpacked else ''} and "
        f"{format_size(RESERVE_BYTES)} kept free{tail}"
        for name, (size, unpacked) in needs.items()
    ]


def _ram_bytes(published: Published, name: str) -> int:
    """Return the RAM that a node of a profile needs, without kernel and initramfs if the release has none."""
    images, unpacked = published.images_bytes[name], published.unpacked_bytes[name]
    if published.boot is None:
        return images + unpacked + RESERVE_BYTES
    return published.boot.needed_bytes(images, unpacked, RESERVE_BYTES)


def _uncounted(manifest: Manifest) -> list[str]:
    """Return the names of the images that a node has to unpack, and of which it is not known what they take then."""
    images = (*manifest.with_role(Role.ROOT), *manifest.with_role(Role.PLUGIN))
    return [artifact.name for artifact in images if artifact.format != "squashfs" and not artifact.unpacked_bytes]


def _day(manifest: Manifest) -> str:
    """Return the last day on which a manifest may be booted."""
    latest = datetime.max.replace(tzinfo=UTC).timestamp() - 1
    return datetime.fromtimestamp(min(manifest.expires_unix_s, latest), UTC).strftime("%Y-%m-%d")


def verified_lines(verified: Verified, *, site: Path) -> list[str]:
    """Return what `verify` prints."""
    lines = [f"note: {note}" for note in verified.notes]
    for pointed in verified.channels:
        manifest = pointed.manifest
        what = f"manifest {manifest.sequence}, {manifest.name} for fleet {manifest.fleet}"
        signed = f"signed by {shown_ids(pointed.signers)}, may be booted until {_day(manifest)}"
        lines += [f"channel {pointed.channel}: {what}, {signed}", *artifact_table(manifest.artifacts)]
    return [*lines, f"{site} is right: {verified.blobs} blobs, {format_size(verified.checked_bytes)}"]


def verified_value(verified: Verified, *, site: Path) -> dict[str, Any]:
    """Return the one JSON object of `verify --json`."""
    return {
        "site": str(site),
        "channels": [_pointed_value(pointed) for pointed in verified.channels],
        "blobs": verified.blobs,
        "checked_bytes": verified.checked_bytes,
        "notes": list(verified.notes),
    }


def _pointed_value(pointed: Pointed) -> dict[str, Any]:
    manifest = pointed.manifest
    return {
        "channel": pointed.channel,
        "fleet": manifest.fleet,
        "name": manifest.name,
        "sequence": manifest.sequence,
        "expires_unix_s": manifest.expires_unix_s,
        "signers": sorted(signer.hex() for signer in pointed.signers),
        "rotations": len(pointed.rotations),
        "artifacts": [artifact_value(artifact) for artifact in manifest.artifacts],
    }


def rotated_lines(rotated: Rotated) -> list[str]:
    """Return what `rotate` prints."""
    done = "the keys are now" if rotated.is_new else "the keys were already"
    lines = [f"{done} version {rotated.version}"]
    lines += [f"channel {name}: manifest {manifest.sequence}" for name, manifest in rotated.manifests.items()]
    return lines


def rotated_value(rotated: Rotated) -> dict[str, Any]:
    """Return the one JSON object of `rotate --json`."""
    return {
        "version": rotated.version,
        "is_new": rotated.is_new,
        "sequences": {name: manifest.sequence for name, manifest in rotated.manifests.items()},
    }


def pruned_lines(pruned: Pruned) -> list[str]:
    """Return what `prune` prints."""
    dropped = ", ".join(str(number) for number in pruned.dropped) or "none"
    kept = ", ".join(str(number) for number in pruned.kept)
    spared = ", ".join(str(number) for number in pruned.spared)
    return [
        f"manifests dropped: {dropped}; kept: {kept}",
        *([f"kept for nodes that may be booting them (--grace): {spared}"] if spared else []),
        f"{pruned.files} files dropped, {format_size(pruned.freed_bytes)} freed",
    ]


def pruned_value(pruned: Pruned) -> dict[str, Any]:
    """Return the one JSON object of `prune --json`."""
    return {
        "kept": list(pruned.kept),
        "spared": list(pruned.spared),
        "dropped": list(pruned.dropped),
        "files": pruned.files,
        "freed_bytes": pruned.freed_bytes,
    }
