"""The manifest: the one signed value that binds everything a node boots.

Pure: it turns bytes into a `Manifest` and back. Whether the bytes may be believed is decided before, in
`swarmboot.trust`; this module will not check a signature, read a file or look at a clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from swarmboot.codec import DecodeError, Fields, pack, unpack
from swarmboot.errors import ManifestError
from swarmboot.ids import DIGEST_BYTES, INFO_HASH_BYTES, MAX_SEQUENCE, Digest, InfoHash, Sequence
from swarmboot.release.chunks import CHUNK_LIST_MAX_BYTES
from swarmboot.release.piece_set import Pieces, all_pieces, piece_count
from swarmboot.release.storage import Storage, decode_storage, storage_value
from swarmboot.release.trace import MAX_RANGES, Ranges, pieces_of

MANIFEST_MAX_BYTES = 1 << 20
MAX_ARTIFACTS = 256
MAX_PIECES = 1 << 20
MAX_NODE_SECRETS = 4096
UNIFIED = "uki"
"""The format of a kernel that holds its initramfs and command line too: a unified kernel image."""

MOUNTED = "squashfs"
_FORMAT = 1
_KNOWN = frozenset(
    {"format", "fleet", "name", "sequence", "issued", "expires", "cmdline", "artifacts", "env", "profiles", "allow"}
    | {"secrets", "nodes", "node_secrets", "storage"}
)
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}\Z")


class Role(StrEnum):
    """What a node does with an artifact."""

    KERNEL = "kernel"
    INITRAMFS = "initramfs"
    ROOT = "root"
    PLUGIN = "plugin"
    NODES = "nodes"
    """The overlays of nodes, of which each takes its own; named apart from the others, for versions without them."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A blob that goes with an artifact: its digest and size."""

    sha256: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a release: what it is for, and the digests that pin it. Sizes in bytes.

    `version` is what a kernel says of itself in its header, empty if that is not known; `unpacked_bytes` is what an
    image takes on top of itself once a node has unpacked it, 0 for one that is mounted or of which that is not known.
    `trace` are the pieces that a boot reads, in order, empty if nobody has recorded it. `chunks` is the list by
    which it is put together out of older images (`swarmboot.release.chunks`), None if it was published without.
    """

    name: str
    role: Role
    format: str
    size_bytes: int
    sha256: Digest
    info_hash: InfoHash
    piece_bytes: int
    version: str = ""
    unpacked_bytes: int = 0
    trace: Ranges = ()
    chunks: Pinned | None = None

    @property
    def is_mounted(self) -> bool:
        """Return whether a node mounts it as it is, so that it can be in use before it is whole."""
        return self.format == MOUNTED and self.role in (Role.ROOT, Role.PLUGIN)

    @property
    def boot_set(self) -> Pieces:
        """Return the pieces that a boot reads."""
        return pieces_of(self.trace)

    @property
    def first(self) -> Pieces:
        """Return the pieces without which no lazy boot goes on: what it reads of an image that is mounted, else all."""
        return self.boot_set if self.is_mounted else all_pieces(self.pieces)

    @property
    def pieces(self) -> int:
        """Return the number of pieces."""
        return piece_count(self.size_bytes, self.piece_bytes)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a group of nodes gets on top of the release: chosen by name, MAC address or DMI fields.

    `plugins` is None for all of them, in the release's order; `dmi` maps a name under /sys/class/dmi/id to the value a
    node must have, where `*` stands for any characters.
    """

    name: str
    macs: tuple[str, ...] = ()
    dmi: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    cmdline: str = ""


@dataclass(frozen=True)
class Manifest:
    """A release as signed. Times in Unix seconds; `allow` names what plugins may do beyond plain files.

    `secrets` maps a profile's name, the empty one for no profile, to the digest of the sealed settings of its nodes,
    `node_secrets` a layer of the nodes' overlays to that of its sealed files; `storage` is what outlives a boot.
    `unknown` names fields that a newer version has written: nodes do without, but nobody here may sign it again or say
    which files it needs.
    """

    fleet: str
    name: str
    sequence: Sequence
    issued_unix_s: int
    expires_unix_s: int
    artifacts: tuple[Artifact, ...]
    cmdline: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    profiles: tuple[Profile, ...] = ()
    allow: tuple[str, ...] = ()
    secrets: Mapping[str, Digest] = field(default_factory=dict)
    node_secrets: Mapping[str, Digest] = field(default_factory=dict)
    storage: Storage | None = None
    unknown: tuple[str, ...] = field(default=(), compare=False)

    @property
    def boot_sets(self) -> dict[InfoHash, Pieces]:
        """Return what of each image a lazy boot waits for; empty if nobody has recorded what a boot reads.

        That is all of an image that is unpacked: behind the rest of a larger one it would keep everybody waiting.
        """
        if not any(artifact.trace for artifact in self.artifacts):
            return {}
        images = (each for each in self.artifacts if each.role not in (Role.KERNEL, Role.INITRAMFS))
        return {each.info_hash: each.first for each in images if each.first}

    @property
    def sealed(self) -> tuple[Digest, ...]:
        """Return the digests of all that is sealed, each once."""
        return tuple(dict.fromkeys((*self.secrets.values(), *self.node_secrets.values())))

    @property
    def root(self) -> Artifact:
        """Return the root image."""
        return next(artifact for artifact in self.artifacts if artifact.role is Role.ROOT)

    def with_role(self, role: Role) -> tuple[Artifact, ...]:
        """Return the artifacts of one role, in the manifest's order."""
        return tuple(artifact for artifact in self.artifacts if artifact.role is role)


def encode(manifest: Manifest) -> bytes:
    """Return the manifest's canonical bytes: what is signed."""
    nodes = [_artifact_value(artifact) for artifact in manifest.with_role(Role.NODES)]
    optional = {
        "secrets": dict(manifest.secrets),
        "node_secrets": dict(manifest.node_secrets),
        "nodes": nodes,
        "storage": storage_value(manifest.storage) if manifest.storage else {},
    }
    return pack(
        {
            **{name: value for name, value in optional.items() if value},
            "format": _FORMAT,
            "fleet": manifest.fleet,
            "name": manifest.name,
            "sequence": manifest.sequence,
            "issued": manifest.issued_unix_s,
            "expires": manifest.expires_unix_s,
            "cmdline": manifest.cmdline,
            "artifacts": [_artifact_value(each) for each in manifest.artifacts if each.role is not Role.NODES],
            "env": dict(manifest.env),
            "profiles": [_profile_value(profile) for profile in manifest.profiles],
            "allow": list(manifest.allow),
        }
    )


def _artifact_value(artifact: Artifact) -> dict[str, object]:
    value: dict[str, object] = {
        "name": artifact.name,
        "role": artifact.role.value,
        "format": artifact.format,
        "size": artifact.size_bytes,
        "sha256": artifact.sha256,
        "info_hash": artifact.info_hash,
        "piece": artifact.piece_bytes,
    }
    trace = [number for run in artifact.trace for number in run]
    chunks = {"sha256": artifact.chunks.sha256, "size": artifact.chunks.size_bytes} if artifact.chunks else {}
    optional = {"version": artifact.version, "unpacked": artifact.unpacked_bytes, "trace": trace, "chunks": chunks}
    return {**value, **{name: given for name, given in optional.items() if given}}


def _profile_value(profile: Profile) -> dict[str, object]:
    value: dict[str, object] = {
        "name": profile.name,
        "macs": list(profile.macs),
        "dmi": dict(profile.dmi),
        "env": dict(profile.env),
        "cmdline": profile.cmdline,
    }
    if profile.plugins is not None:
        value["plugins"] = list(profile.plugins)
    return value


def decode(data: bytes) -> Manifest:
    """Return the manifest in these verified bytes; raise ManifestError if they are not one this version can obey."""
    try:
        return _decode(data)
    except DecodeError as error:
        hint = "publish with the same version of swarmboot, or rebuild this node's initramfs"
        raise ManifestError(f"the signed manifest cannot be used: {error}", hint=hint) from error


def _decode(data: bytes) -> Manifest:
    fields = Fields(unpack(data, max_bytes=MANIFEST_MAX_BYTES), "manifest")
    if fields.integer("format") != _FORMAT:
        raise DecodeError(f"format {fields.integer('format')}, this version knows {_FORMAT}")
    fields.check_critical(_KNOWN)
    images = tuple(_artifact(value) for value in fields.items("artifacts", most=MAX_ARTIFACTS))
    nodes = tuple(_artifact(value) for value in fields.items("nodes", most=1))
    if any((each.role is Role.NODES) is not (each in nodes) for each in (*images, *nodes)):
        raise DecodeError("overlays of nodes among the images, or the other way round")
    artifacts = (*images, *nodes)
    names = [artifact.name for artifact in artifacts]
    if len(set(names)) != len(names):
        raise DecodeError("two artifacts share a name")
    if len({artifact.info_hash for artifact in artifacts}) != len(artifacts):
        raise DecodeError("two artifacts are the same bytes")
    if [artifact.role for artifact in artifacts].count(Role.ROOT) != 1:
        raise DecodeError("not exactly one root image")
    plugins = {artifact.name for artifact in images}
    profiles = tuple(_profile(value, plugins) for value in fields.items("profiles", most=1024))
    return Manifest(
        fleet=fields.text("fleet"),
        name=fields.text("name"),
        sequence=Sequence(fields.integer("sequence", least=1, most=MAX_SEQUENCE)),
        issued_unix_s=fields.integer("issued"),
        expires_unix_s=fields.integer("expires"),
        artifacts=artifacts,
        cmdline=fields.text("cmdline", most=4096),
        env=fields.text_map("env", most=1024),
        profiles=profiles,
        allow=fields.texts("allow", most=16),
        secrets=_secrets(fields.mapping("secrets"), {"", *(profile.name for profile in profiles)}),
        node_secrets=_node_secrets(fields.mapping("node_secrets")),
        storage=decode_storage(fields.mapping("storage")) if fields.has("storage") else None,
        unknown=fields.unknown(_KNOWN),
    )


def _secrets(value: object, names: set[str]) -> dict[str, Digest]:
    fields = Fields(value, "manifest.secrets")
    assert isinstance(value, dict)
    if not value.keys() <= names:
        raise DecodeError("manifest.secrets names a profile that is not there")
    return {name: Digest(fields.raw(name, exactly=DIGEST_BYTES)) for name in value}


def _node_secrets(value: object) -> dict[str, Digest]:
    fields = Fields(value, "manifest.node_secrets")
    assert isinstance(value, dict)
    if len(value) > MAX_NODE_SECRETS or not all(isinstance(name, str) for name in value):
        raise DecodeError(f"manifest.node_secrets is no map of at most {MAX_NODE_SECRETS} layers")
    return {name: Digest(fields.raw(name, exactly=DIGEST_BYTES)) for name in value}


def _artifact(value: Any) -> Artifact:
    fields = Fields(value, "artifact")
    fields.check_critical(frozenset())
    name = fields.text("name")
    if not is_safe_name(name):
        raise DecodeError(f"artifact name {name!r} is not a plain file name")
    try:
        role = Role(fields.text("role"))
    except ValueError as error:
        raise DecodeError(f"artifact {name} has an unknown role") from error
    piece_bytes = fields.integer("piece", least=1 << 14, most=1 << 28)
    if piece_bytes & (piece_bytes - 1):
        raise DecodeError(f"artifact {name} has a piece length that is no power of two")
    artifact = Artifact(
        name=name,
        role=role,
        format=fields.text("format", most=16),
        size_bytes=fields.integer("size", least=1, most=1 << 44),
        sha256=Digest(fields.raw("sha256", exactly=DIGEST_BYTES)),
        info_hash=InfoHash(fields.raw("info_hash", exactly=INFO_HASH_BYTES)),
        piece_bytes=piece_bytes,
        version=fields.text("version", default=""),
        unpacked_bytes=fields.integer("unpacked", most=1 << 44, default=0),
        trace=_trace(fields.items("trace", most=2 * MAX_RANGES), name),
        chunks=_pinned(fields.mapping("chunks"), "artifact.chunks") if fields.has("chunks") else None,
    )
    if artifact.pieces > MAX_PIECES:
        raise DecodeError(f"artifact {name} has more than {MAX_PIECES} pieces")
    if any(first + count > artifact.pieces for first, count in artifact.trace):
        raise DecodeError(f"artifact {name} has a trace beyond its end")
    return artifact


def _pinned(value: object, kind: str) -> Pinned:
    fields = Fields(value, kind)
    fields.check_critical(frozenset())
    size_bytes = fields.integer("size", least=1, most=CHUNK_LIST_MAX_BYTES)
    return Pinned(Digest(fields.raw("sha256", exactly=DIGEST_BYTES)), size_bytes)


def _trace(numbers: Any, name: str) -> Ranges:
    """Return runs of pieces from first, count, first, count; whether the image has them is seen by the caller."""
    is_right = len(numbers) % 2 == 0 and all(type(number) is int and 0 <= number < MAX_PIECES for number in numbers)
    if not is_right or 0 in numbers[1::2]:
        raise DecodeError(f"artifact {name} has a trace that is no list of runs")
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _profile(value: Any, names: set[str]) -> Profile:
    fields = Fields(value, "profile")
    fields.check_critical(frozenset())
    plugins = fields.texts("plugins", most=MAX_ARTIFACTS) if isinstance(value, dict) and "plugins" in value else None
    unknown = sorted(set(plugins or ()) - names)
    if unknown:
        raise DecodeError(f"profile {fields.text('name')} names plugins that are not there: {', '.join(unknown)}")
    return Profile(
        name=fields.text("name"),
        macs=fields.texts("macs", most=65536, each=17),
        dmi=fields.text_map("dmi", most=32),
        plugins=plugins,
        env=fields.text_map("env", most=1024),
        cmdline=fields.text("cmdline", most=4096),
    )


def is_safe_name(name: str) -> bool:
    """Return whether `name` is one plain file name: no slash, no leading dot, nothing a shell would touch."""
    return _SAFE_NAME.match(name) is not None
