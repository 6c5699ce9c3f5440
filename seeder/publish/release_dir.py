"""What a release directory holds, as a plan of what to publish: nothing is hashed and nothing is written here.

    vmlinuz  initramfs.img     stage 0, optional            plugins/  layers, in name order
    boot.efi                   in place of both, a unified kernel image
    rootfs.squashfs            the root image, exactly one  env/      KEY=value files: data, never sourced
    release.toml               optional: name, cmdline, allow, profiles
    nodes/  files for single nodes, racks and profiles      env/*.secret.env   secret ones, sealed for the fleet token
    dtb/    device trees of the kernel, for boards

Every file is named by its path inside the directory, and a symbolic link may not lead out of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seeder.publish.env_file import parse_env
from seeder.publish.nodes.hosts import parse_hosts
from seeder.publish.nodes.layers import FOLDER as NODES
from seeder.publish.nodes.layers import HOSTS, SEALED_FOLDER, by_machine, check_together, layer_notes, read_layers
from seeder.publish.release_toml import ReleaseSettings, check_plugins, parse_release_toml
from seeder.site.device_trees import read_trees
from seeder.site.writer import SourceFile
from swarmboot.errors import EscapeError, NoRootImageError, ReleaseError, UnreadableError
from swarmboot.host.text_files import read_text
from swarmboot.release.manifest import MAX_ARTIFACTS, UNIFIED, Role, is_safe_name
from swarmboot.release.node_overlay import NodeFile, NodeOverlays

ROOT_FORMATS = ("squashfs", "tar.zst", "tar.gz", "cpio.zst", "cpio.gz")
PLUGIN_FORMATS = ("squashfs", "tar.gz", "tar.zst")
_KERNELS = ("vmlinuz", "vmlinuz-*")
_UNIFIED = ("boot.efi",)
_INITRAMFS = ("initramfs.img", "initrd.img", "initramfs-*", "initrd.img-*")
_SEALED = (".secret.env",)


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """One file to publish. `path` is where to read it, links followed; `label` is its path inside the release."""

    path: Path
    label: str
    name: str
    role: Role
    format: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Release:
    """A release directory as read: its files in the manifest's order, its settings, and what a person should know.

    `names` are all that is in it, hidden names left out; `counted` is what archives take unpacked, where it is known;
    `overlays` is what it brings for single nodes, None for nothing, and `node_secrets` their secret files, by layer;
    `trees` are the device trees below `dtb/`, by their path in it.
    """

    folder: Path
    name: str
    files: tuple[ReleaseFile, ...]
    env: Mapping[str, str]
    settings: ReleaseSettings = field(default_factory=ReleaseSettings)
    notes: tuple[str, ...] = ()
    secret_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    names: tuple[str, ...] = ()
    counted: Mapping[SourceFile, int] = field(default_factory=dict)
    overlays: NodeOverlays | None = None
    node_secrets: Mapping[str, tuple[NodeFile, ...]] = field(default_factory=dict, repr=False)
    trees: Mapping[str, Path] = field(default_factory=dict)

    @property
    def secrets(self) -> Mapping[str, Mapping[str, str]]:
        """Return the secret settings of each profile's nodes, the empty name for no profile; without empty ones."""
        own = self.settings.secret_env
        names = ("", *(profile.name for profile in self.settings.profiles))
        found = {name: {**self.secret_env, **own.get(name, {})} for name in names}
        return {name: env for name, env in found.items() if env}


def read_release(folder: Path) -> Release:
    """Return what the directory holds.

    Raises NoRootImageError without exactly one root image, EscapeError for a link that leads out, UnreadableError for
    a file that is empty, unreadable or not regular, and ReleaseError for anything else that cannot be published.
    """
    if not folder.is_dir():
        found = "something else" if folder.exists() else "no such directory"
        raise UnreadableError(f"{folder} is no release", expected="a directory with a root image", found=found)
    reader = _Reader(folder)
    root = reader.root_image()
    stage0 = reader.stage0()
    plugins = reader.plugins()
    files = (*stage0, root, *plugins)
    _check_names(files)
    settings = reader.settings()
    env, secret_env = reader.env(), reader.env(is_secret=True)
    overlays = reader.overlays(settings)
    sources = (env, *(each.env for each in (*settings.profiles, *(overlays.hosts.values() if overlays else ()))))
    _check_secrets({key for each in sources for key in each}, secret_env, settings)
    check_plugins(settings.profiles, {plugin.name: plugin for plugin in plugins}, where="release.toml")
    node_secrets = reader.node_secrets(overlays)
    check_together(overlays.layers if overlays else {}, node_secrets)
    name = settings.name or folder.resolve().name or "release"
    return Release(
        folder=folder,
        name=name,
        files=files,
        env=env,
        settings=settings,
        secret_env=secret_env,
        notes=tuple(reader.notes),
        names=tuple(reader.names()),
        overlays=overlays,
        node_secrets=node_secrets,
        trees=reader.trees(),
    )


def read_profiles(folder: Path) -> frozenset[str]:
    """Return the names of the profiles that a release.toml there has; raise ReleaseError for one that is wrong."""
    return frozenset(profile.name for profile in _Reader(folder).settings().profiles)


class _Reader:
    """Finds and opens what one release directory holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._real = folder.resolve()
        self.notes: list[str] = []

    def names(self, under: str = "") -> list[str]:
        """Return the names in the directory or in one folder of it, sorted; hidden ones are left out."""
        folder = self._folder / under
        if not folder.exists() and not folder.is_symlink():
            return []
        self._inside(folder, under or ".")
        try:
            return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            raise UnreadableError(f"{under or self._folder} cannot be read: {error.strerror}") from error

    def _inside(self, path: Path, label: str) -> Path:
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self._real):
            raise EscapeError(
                f"{label} is a link that leads out of the release",
                expected=f"a file inside {self._folder}",
                found=str(real),
                hint="copy the file into the release",
            )
        return real

    def file(self, label: str, role: Role, kind: str) -> ReleaseFile:
        """Return one file of the release, checked to be a regular, readable file with something in it."""
        real = self._inside(self._folder / label, label)
        size_bytes = check_regular(real, label=label).st_size
        name = Path(label).name
        if not is_safe_name(name):
            raise ReleaseError(
                f"{label!r} has a name that cannot be published",
                expected="letters, digits, dots, dashes and underscores",
                hint="rename the file",
            )
        return ReleaseFile(real, label, name, role, kind, size_bytes)

    def root_image(self) -> ReleaseFile:
        """Return the root image."""
        wanted = {f"rootfs.{kind}": kind for kind in ROOT_FORMATS}
        found = [name for name in self.names() if name in wanted]
        if len(found) != 1:
            raise NoRootImageError(
                f"{self._folder} holds {'no root image' if not found else 'more than one root image'}",
                expected=f"exactly one of {', '.join(wanted)}",
                found=", ".join(found) or "none of them",
                hint="put the root image there under that name" if not found else "keep one of them",
            )
        return self.file(found[0], Role.ROOT, wanted[found[0]])

    def optional(self, patterns: tuple[str, ...], role: Role, kind: str) -> list[ReleaseFile]:
        """Return the one file of a stage 0 role, or nothing; an exact name beats a pattern."""
        names = self.names()
        exact = [name for name in patterns if name in names]
        loose = [name for name in names if any(Path(name).match(pattern) for pattern in patterns if "*" in pattern)]
        found = exact or loose
        if len(found) > 1:
            raise ReleaseError(
                f"{self._folder} holds more than one {role}",
                expected=f"one, named {patterns[0]}",
                found=", ".join(found),
                hint=f"keep one, or name the right one {patterns[0]}",
            )
        return [self.file(name, role, kind) for name in found]

    def stage0(self) -> list[ReleaseFile]:
        """Return kernel and initramfs, or the unified kernel image that takes their place."""
        parts = [*self.optional(_KERNELS, Role.KERNEL, "linux"), *self.optional(_INITRAMFS, Role.INITRAMFS, "cpio")]
        unified = self.optional(_UNIFIED, Role.KERNEL, UNIFIED)
        if unified:
            self.notes += [f"{part.label} is not published: {_UNIFIED[0]} takes its place" for part in parts]
        return unified or parts

    def trees(self) -> Mapping[str, Path]:
        """Return the device trees for boards."""
        folder = self._folder / "dtb"
        return read_trees(self._inside(folder, "dtb")) if folder.is_dir() else {}

    def plugins(self) -> list[ReleaseFile]:
        """Return the plugins in name order, which is the order they are stacked in."""
        plugins = []
        for name in self.names("plugins"):
            kind = next((kind for kind in PLUGIN_FORMATS if name.endswith(f".{kind}")), None)
            if kind is None:
                self.notes.append(f"plugins/{name} is not published: not a .{', .'.join(PLUGIN_FORMATS)}")
            else:
                plugins.append(self.file(f"plugins/{name}", Role.PLUGIN, kind))
        return plugins

    def env(self, *, is_secret: bool = False) -> dict[str, str]:
        """Return the settings of all env/*.env files in name order, a later one winning; the secret or the others."""
        settings: dict[str, str] = {}
        for name in self.names("env"):
            if name.endswith(".env"):
                if name.endswith(_SEALED) == is_secret:
                    where = f"env/{name}"
                    settings.update(parse_env(self._text(where), where=where, is_secret=is_secret))
                    if is_secret and (self._folder / where).stat().st_mode & stat.S_IROTH:
                        self.notes.append(f"everybody on this machine can read {where}: chmod 600 {where}")
            elif not is_secret:
                self.notes.append(f"env/{name} is not published: not a .env")
        return settings

    def settings(self) -> ReleaseSettings:
        """Return what release.toml says, or the defaults without one."""
        if "release.toml" not in self.names():
            return ReleaseSettings()
        return parse_release_toml(self._text("release.toml"), where="release.toml")

    def overlays(self, settings: ReleaseSettings) -> NodeOverlays | None:
        """Return what nodes/ and the template of host names say, None if there is neither."""
        names = self.names(NODES)
        if not names and not settings.hostname:
            return None
        layers, hosts = {}, {}
        profiles = {profile.name for profile in settings.profiles}
        if names:
            found = read_layers(self._inside(self._folder / NODES, NODES))
            self.notes += found.notes
            layers = found.layers
        if HOSTS in names:
            label = f"{NODES}/{HOSTS}"
            table = parse_hosts(self._text(label), where=label, profiles=profiles)
            if table.faults:
                more = f"{len(table.faults) - 1} more are wrong: " if len(table.faults) > 1 else ""
                raise ReleaseError(table.faults[0], hint=f"{more}swarmboot nodes import {label} --dry-run says all")
            hosts = dict(table.hosts)
        self.notes += layer_notes(layers, hosts, profiles)
        return NodeOverlays(layers, hosts, settings.hostname)

    def node_secrets(self, overlays: NodeOverlays | None) -> dict[str, tuple[NodeFile, ...]]:
        """Return the secret files of nodes.secret/ by layer, those of a name by its MAC address."""
        if not self.names(SEALED_FOLDER):
            return {}
        found = read_layers(
            self._inside(self._folder / SEALED_FOLDER, SEALED_FOLDER), label=SEALED_FOLDER, is_secret=True
        )
        self.notes += found.notes
        return by_machine(found.layers, overlays.hosts if overlays else {})

    def _text(self, label: str) -> str:
        real = self._inside(self._folder / label, label)
        check_regular(real, label=label, may_be_empty=True)
        return read_text(real, label=label)


def check_regular(path: Path, *, label: str, may_be_empty: bool = False) -> os.stat_result:
    """Return the file's status; raise UnreadableError if it is not regular, not readable, or empty."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError(f"{label} is not a regular file", hint="replace it by the file itself")
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        hint = "check the file, its mode and its owner"
        raise UnreadableError(f"{label} cannot be read: {error.strerror}", hint=hint) from error
    if status.st_size == 0 and not may_be_empty:
        raise UnreadableError(f"{label} is empty", expected="at least one byte", hint="build it again")
    return status


def _check_secrets(public: set[str], secret_env: Mapping[str, str], settings: ReleaseSettings) -> None:
    """Raise ReleaseError if a setting is both secret and public."""
    secret = {*secret_env, *(key for each in settings.secret_env.values() for key in each)}
    if both := sorted(public & secret):
        raise ReleaseError(
            f"the setting {both[0]} is secret in one place and public in another",
            hint="keep it in env/*.secret.env or in secret_env alone, and change its value: the old one is known",
        )


def _check_names(files: tuple[ReleaseFile, ...]) -> None:
    if len(files) > MAX_ARTIFACTS:
        raise ReleaseError(
            "the release holds too many files", expected=f"at most {MAX_ARTIFACTS}", found=f"{len(files)}"
        )
    labels: dict[str, str] = {}
    for file in files:
        if file.name in labels:
            raise ReleaseError(f"{labels[file.name]} and {file.label} share a name", hint="rename one of them")
        labels[file.name] = file.label
