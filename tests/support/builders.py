"""Small real values that tests of several parts build on: keys, manifests, release directories."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swarmboot.ids import Digest, InfoHash, Sequence
from swarmboot.release import trust
from swarmboot.release.manifest import Artifact, Manifest, Role

NOW_UNIX_S = 1_700_000_000


def build_key(seed: int = 1) -> Ed25519PrivateKey:
    """Return a signing key that is the same for the same seed; for tests only, as anyone can make it."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"test key %d" % seed).digest())


def build_keys(*seeds: int) -> list[Ed25519PrivateKey]:
    """Return a signing key a seed."""
    return [build_key(seed) for seed in seeds]


def build_key_set(*seeds: int, threshold: int = 1, version: int = 1) -> trust.KeySet:
    """Return the key set of these seeds' public halves."""
    publics = [trust.public_bytes(key) for key in build_keys(*seeds)]
    return trust.key_set(publics, threshold=threshold, version=version)


def build_artifact(name: str = "rootfs.squashfs", **changes: Any) -> Artifact:
    """Return a root image, or what `changes` make of it; its digests follow from its name."""
    artifact = Artifact(
        name=name,
        role=Role.ROOT,
        format="squashfs",
        size_bytes=1_000_000,
        sha256=Digest(hashlib.sha256(name.encode()).digest()),
        info_hash=InfoHash(hashlib.sha256(b"info " + name.encode()).digest()),
        piece_bytes=1 << 16,
    )
    return replace(artifact, **changes)


def build_plugin(name: str, **changes: Any) -> Artifact:
    """Return a plugin."""
    return build_artifact(name, role=Role.PLUGIN, **changes)


def build_manifest(**changes: Any) -> Manifest:
    """Return a manifest of one root image, issued at NOW_UNIX_S for a day."""
    manifest = Manifest(
        fleet="test",
        name="debian",
        sequence=Sequence(7),
        issued_unix_s=NOW_UNIX_S,
        expires_unix_s=NOW_UNIX_S + 86400,
        artifacts=(build_artifact(),),
    )
    return replace(manifest, **changes)


def build_bytes(size_bytes: int, *, seed: int = 0) -> bytes:
    """Return bytes that do not compress and are the same for the same seed."""
    return hashlib.shake_256(b"%d" % seed).digest(size_bytes)


def build_release(
    folder: Path,
    *,
    files: Mapping[str, bytes] | None = None,
    size_bytes: int = 100_000,
    plugins: Iterable[str] = (),
    seed: int = 0,
) -> Path:
    """Make a release directory of a squashfs-like root image, these plugins and these other files, and return it."""
    content = {"rootfs.squashfs": b"hsqs" + build_bytes(size_bytes - 4, seed=seed)}
    content |= {f"plugins/{name}": b"hsqs" + build_bytes(3000, seed=hash_of(name)) for name in plugins}
    content |= files or {}
    for label, data in content.items():
        path = folder / label
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def field_names(value: object) -> object:
    """Return the names of a decoded message's fields, nested as they are, without their values."""
    if isinstance(value, dict):
        return {key: field_names(inner) for key, inner in value.items()}
    return [field_names(inner) for inner in value] if isinstance(value, list) else None


def hash_of(text: str) -> int:
    """Return a number that stands for a text in every run."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])
