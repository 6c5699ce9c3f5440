"""Publish a release: hash and copy its files into a site, and sign the manifest that binds them.

Order is what makes it safe: blobs, torrents, the manifest, and only then the channel that points to it. A publish that
is killed before the last rename has changed nothing that a node can see. It will not read a key file or a clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from seeder.publish.check.memory import Boot
from seeder.publish.copier import Copier
from seeder.publish.images.nodes import with_nodes
from seeder.publish.images.traced import traced, whole_first
from seeder.publish.release_dir import Release
from seeder.site.device_trees import put_trees
from seeder.site.issue import issue, point
from seeder.site.progress import Progress
from seeder.site.reader import Pointed, read_own_channel
from seeder.site.signers import check_signers, last_signers, own_keys, signer_ids
from seeder.site.writer import SiteWriter
from swarmboot import ids
from swarmboot.crypto.fleet_token import FleetToken, seal, seal_files
from swarmboot.errors import ReleaseError
from swarmboot.release import layout, trust
from swarmboot.release.manifest import Artifact, Manifest, Role
from swarmboot.release.node_overlay import encode_files
from swarmboot.release.profile import Selection, select
from swarmboot.release.trace import Read

DEFAULT_FLEET = "swarmboot"
DEFAULT_LIFE_S = 365 * 86400.0
_RENEW_BELOW = 1 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOptions:
    """How to publish. `life_s` is how long the manifest may be booted; None keeps what the channel has, or a year.

    `fleet` is empty for the channel's own; `piece_bytes` is 0 to choose by size; `trust` is the key set that nodes are
    built with, if it is known; `pointer_life_s` is how long the channel's pointer may be taken for the newest, None for
    no end of its own; `has_new_keys` allows keys that are not the site's, and forgets its rotations. Secret
    settings are sealed for the holders of each of `tokens`. `trace` are the reads of a boot by image, None to keep what
    the channel has for images that are the same; `is_sorted` has its images packed again in that order before.
    """

    channel: str = layout.DEFAULT_CHANNEL
    fleet: str = ""
    life_s: float | None = None
    piece_bytes: int = 0
    trust: trust.KeySet | None = None
    has_new_keys: bool = False
    tokens: tuple[FleetToken, ...] = ()
    pointer_life_s: float | None = None
    trace: Mapping[str, tuple[Read, ...]] | None = None
    is_sorted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a publish did. `is_new` is false if the channel pointed to the same release already. Sizes in bytes.

    `images_bytes` and `unpacked_bytes` map each profile's name, the empty one for no profile, to the bytes that its
    nodes hold as images, and what these take on top of that once unpacked. `signers` are none where they are still to
    be made. `boot` is what a boot takes beside that, if
    the release has a stage 0.
    """

    manifest: Manifest
    channel: str
    is_new: bool
    copied_bytes: int
    reused_bytes: int
    images_bytes: Mapping[str, int]
    unpacked_bytes: Mapping[str, int]
    signers: tuple[ids.KeyId, ...]
    notes: tuple[str, ...] = ()
    boot: Boot | None = None


def publish(
    release: Release,
    keys: Sequence[Ed25519PrivateKey],
    *,
    writer: SiteWriter,
    options: PublishOptions,
    now_unix_s: float,
    progress: Progress,
) -> Published:
    """Put the release into the writer's site, signed by `keys`, and point the channel to it.

    Raises ThresholdError for keys that nodes of this site would not believe, SpaceError, ChangedError and
    UnreadableError as the copying meets them, and ReleaseError for a release that no manifest can describe.
    """
    check_tokens(release, options.tokens)
    check_signers(writer.site, keys, trusted=options.trust, has_new_keys=options.has_new_keys)
    notes = [*release.notes, *_key_notes(writer.site, keys)]
    copier = Copier(writer, piece_bytes=options.piece_bytes, progress=progress)
    with with_nodes(release) as whole:
        artifacts = copier.copy(whole)
    current = read_own_channel(writer.site, options.channel, own_keys(keys))
    artifacts = traced(artifacts, options.trace, current.manifest.artifacts if current else ())
    cmdlines = [release.settings.cmdline, *(profile.cmdline for profile in release.settings.profiles)]
    notes += whole_first(artifacts, cmdlines, options.trace)
    if options.has_new_keys:
        writer.remove_rotations()
        current = read_own_channel(writer.site, options.channel, own_keys(keys))
    wanted = _manifest(release, artifacts, options=options, current=current, now_unix_s=now_unix_s)
    wanted = replace(
        wanted,
        secrets=_seal(writer, release, options.tokens, fleet=wanted.fleet),
        node_secrets=_seal_files(writer, release, options.tokens, fleet=wanted.fleet),
    )
    notes += _put_trees(writer, release, artifacts)
    manifest = _issued(writer, wanted, keys, current=current, options=options, now_unix_s=now_unix_s)
    return Published(
        manifest=manifest,
        channel=options.channel,
        is_new=current is None or manifest is not current.manifest,
        copied_bytes=copier.copied_bytes,
        reused_bytes=copier.reused_bytes,
        images_bytes=images_bytes(manifest),
        unpacked_bytes={name: each.unpacked_bytes for name, each in _selections(manifest).items()},
        signers=tuple(sorted(signer_ids(keys))),
        notes=(*notes, *copier.notes),
    )


def _issued(
    writer: SiteWriter,
    wanted: Manifest,
    keys: Sequence[Ed25519PrivateKey],
    *,
    current: Pointed | None,
    options: PublishOptions,
    now_unix_s: float,
) -> Manifest:
    """Point the channel to the manifest wanted and return it: the current one, if it is still good, or a new one."""
    signed = (signer_ids(keys), tuple(layout.rotations(writer.site)))
    is_signed_alike = current is not None and (current.signers, current.rotations) == signed
    if current is None or not is_signed_alike or not _is_still_good(current.manifest, wanted, options):
        return issue(writer, wanted, options.channel, keys, _pointer_end(options, now_unix_s))
    if _is_pointer_old(current, options, now_unix_s):
        end_unix_s = _pointer_end(options, now_unix_s)
        point(writer, current.manifest, options.channel, keys, expires_unix_s=end_unix_s)
    return current.manifest


def _put_trees(writer: SiteWriter, release: Release, artifacts: tuple[Artifact, ...]) -> list[str]:
    """Put the device trees beside the kernel that they are for; return what there is to say."""
    kernel = next((each for each in artifacts if each.role is Role.KERNEL), None)
    if kernel is not None:
        put_trees(writer, kernel.sha256, release.trees)
    elif release.trees:
        return ["dtb/ is not published: it goes with a kernel, and there is no vmlinuz"]
    return []


def check_tokens(release: Release, tokens: tuple[FleetToken, ...]) -> None:
    """Raise ReleaseError for secrets of a release and no token to seal them for."""
    if (release.secrets or release.node_secrets) and not tokens:
        raise ReleaseError(
            "the release has secret settings or files, which reach nodes only with a fleet token",
            expected="--fleet-token FILE",
            found="none",
            hint="make one with `swarmboot keygen --fleet-token FILE`; serve and the nodes' initramfs need it too",
        )


def _seal(writer: SiteWriter, release: Release, tokens: tuple[FleetToken, ...], *, fleet: str) -> dict[str, ids.Digest]:
    """Write each profile's secret settings, sealed, and return their digests; what is there already stays."""
    digests = {}
    for profile, env in release.secrets.items():
        digests[profile] = _kept(writer, seal(tokens, env, fleet=fleet, profile=profile))
    return digests


def _seal_files(
    writer: SiteWriter, release: Release, tokens: tuple[FleetToken, ...], *, fleet: str
) -> dict[str, ids.Digest]:
    """Write the secret files of each layer of nodes, sealed, and return their digests; what is there already stays."""
    return {
        layer: _kept(writer, seal_files(tokens, encode_files(files), fleet=fleet, layer=layer))
        for layer, files in release.node_secrets.items()
    }


def _kept(writer: SiteWriter, sealed: bytes) -> ids.Digest:
    """Write what is sealed, unless it is there, and return its digest."""
    digest = ids.Digest(hashlib.sha256(sealed).digest())
    if not writer.holds_bytes(layout.secrets_path(digest), sealed):
        writer.write(layout.secrets_path(digest), sealed)
    return digest


def _pointer_end(options: PublishOptions, now_unix_s: float) -> int:
    return int(now_unix_s + options.pointer_life_s) if options.pointer_life_s else 0


def _is_pointer_old(current: Pointed, options: PublishOptions, now_unix_s: float) -> bool:
    """Return whether a pointer is to be signed again: its end is another, or a third of its life over."""
    left_s, life_s = current.expires_unix_s - now_unix_s, options.pointer_life_s
    return life_s is not None and not life_s * (1 - _RENEW_BELOW) <= left_s <= life_s


def _key_notes(site: Path, keys: Sequence[Ed25519PrivateKey]) -> list[str]:
    if last_signers(site) <= signer_ids(keys):
        return []
    return ["signed by other keys than the manifest before: nodes that trust only those will refuse it"]


def _manifest(
    release: Release,
    artifacts: tuple[Artifact, ...],
    *,
    options: PublishOptions,
    current: Pointed | None,
    now_unix_s: float,
) -> Manifest:
    """Return the manifest wanted, its number still to be given."""
    fleet, life_s = DEFAULT_FLEET, DEFAULT_LIFE_S
    if current is not None:
        fleet = current.manifest.fleet
        life_s = current.manifest.expires_unix_s - current.manifest.issued_unix_s
    return Manifest(
        fleet=options.fleet or fleet,
        name=release.name,
        sequence=ids.Sequence(1),
        issued_unix_s=int(now_unix_s),
        expires_unix_s=int(now_unix_s) + int(life_s if options.life_s is None else options.life_s),
        artifacts=artifacts,
        cmdline=release.settings.cmdline,
        env=release.env,
        profiles=release.settings.profiles,
        allow=release.settings.allow,
        storage=release.settings.storage,
    )


def _is_still_good(old: Manifest, wanted: Manifest, options: PublishOptions) -> bool:
    """Return whether the manifest that the channel points to says what is wanted and is far from expiring."""
    same = replace(wanted, sequence=old.sequence, issued_unix_s=old.issued_unix_s, expires_unix_s=old.expires_unix_s)
    old_life_s = old.expires_unix_s - old.issued_unix_s
    is_life_right = options.life_s is None or wanted.expires_unix_s - wanted.issued_unix_s == old_life_s
    left_s = old.expires_unix_s - wanted.issued_unix_s
    return same == old and is_life_right and left_s >= old_life_s * _RENEW_BELOW


def images_bytes(manifest: Manifest) -> dict[str, int]:
    """Return the bytes of images that a node of each profile holds; the empty name stands for no profile."""
    return {name: each.size_bytes for name, each in _selections(manifest).items()}


def _selections(manifest: Manifest) -> dict[str, Selection]:
    return {name: select(manifest, name=name) for name in ("", *(profile.name for profile in manifest.profiles))}
