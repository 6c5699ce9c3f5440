"""Which plugins, settings and arguments a node gets: a pure choice from the manifest and what the node is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from swarmboot.errors import MalformedSettingError
from swarmboot.ids import Digest
from swarmboot.release.manifest import Artifact, Manifest, Profile, Role
from swarmboot.text.spelling import did_you_mean


@dataclass(frozen=True, slots=True)
class Identity:
    """What a node knows about itself: its MAC addresses (lower case, colons) and its DMI fields."""

    macs: frozenset[str] = frozenset()
    dmi: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selection:
    """What one node boots: the root image, its plugins in stacking order and what has the nodes' overlays, if there are
    any; its settings, and its sealed ones' digest."""

    profile: str
    artifacts: tuple[Artifact, ...]
    env: Mapping[str, str]
    secrets: Digest | None = None

    @property
    def size_bytes(self) -> int:
        """Return the bytes that the node's artifacts take."""
        return sum(artifact.size_bytes for artifact in self.artifacts)

    @property
    def unpacked_bytes(self) -> int:
        """Return the bytes that they take on top of that once they are unpacked."""
        return sum(artifact.unpacked_bytes for artifact in self.artifacts)


def select(manifest: Manifest, *, name: str = "", identity: Identity | None = None) -> Selection:
    """Return what a node gets: by profile name if one is given, else by the first profile that matches it.

    Raises MalformedSettingError if the name is not one of the manifest's profiles.
    """
    chosen = _named(manifest, name) if name else _matching(manifest, identity or Identity())
    plugins = manifest.with_role(Role.PLUGIN)
    if chosen is not None and chosen.plugins is not None:
        plugins = tuple(plugin for plugin in plugins if plugin.name in chosen.plugins)
    return Selection(
        profile=chosen.name if chosen else "",
        artifacts=(manifest.root, *plugins, *manifest.with_role(Role.NODES)),
        env={**manifest.env, **(chosen.env if chosen else {})},
        secrets=manifest.secrets.get(chosen.name if chosen else ""),
    )


def _named(manifest: Manifest, name: str) -> Profile:
    for profile in manifest.profiles:
        if profile.name == name:
            return profile
    known = [profile.name for profile in manifest.profiles]
    raise MalformedSettingError(
        "swarmboot.profile names no profile of this release",
        expected=f"one of: {', '.join(known) or 'none'}",
        found=repr(name),
        hint=did_you_mean(name, known, otherwise="correct the kernel argument or the release.toml"),
    )


def _matching(manifest: Manifest, identity: Identity) -> Profile | None:
    for profile in manifest.profiles:
        if not profile.macs and not profile.dmi:
            continue
        is_mac_right = not profile.macs or any(
            fnmatchcase(mac, pattern.lower()) for pattern in profile.macs for mac in identity.macs
        )
        is_dmi_right = all(fnmatchcase(identity.dmi.get(key, ""), value) for key, value in profile.dmi.items())
        if is_mac_right and is_dmi_right:
            return profile
    return None
