"""The folder `nodes/` of a release, read into layers: every file and link of it, or a refusal that names the one.

    nodes/default/etc/motd                   nodes/profile=gpu/...     nodes/rack=r12/...
    nodes/52-54-00-12-34-56/etc/ssh/...      nodes/name=web-1/...      nodes/hosts.csv

Links are packed, not followed, and may not climb above the root. A name that ends in `.tmpl` is a template, laid down
without that ending. All of it becomes root's, with mode 0644, or 0755 where the owner may run it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath

from swarmboot.errors import EscapeError, ReleaseError, UnreadableError
from swarmboot.release.manifest import MAX_NODE_SECRETS
from swarmboot.release.node_overlay import (
    MAX_FILES,
    OVERLAYS_MAX_BYTES,
    PATH_MAX,
    VALUES,
    Host,
    NodeFile,
    is_layer,
    is_path,
    leads_inside,
)
from swarmboot.text.spelling import did_you_mean
from swarmboot.text.template import TemplateError, names_in
from swarmboot.text.units import format_size

FOLDER = "nodes"
SEALED_FOLDER = "nodes.secret"
HOSTS = "hosts.csv"
TEMPLATE = ".tmpl"
_MOUNTED_OVER = ("dev", "proc", "run", "sys", "tmp")
_OURS = "etc/swarmboot"
MACHINE_IDS = ("etc/machine-id", "var/lib/dbus/machine-id")
"""What systemd takes a machine's identity from, in this order (machine-id(5))."""
_SHARED = ("default", "profile=", "rack=")
_KEY_MARK = b"PRIVATE KEY-----"


@dataclass(slots=True)
class Layers:
    """Layers as read, and what a person should know of them."""

    layers: dict[str, tuple[NodeFile, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_layers(folder: Path, *, label: str = FOLDER, is_secret: bool = False) -> Layers:
    """Return the layers in a folder that exists; `label` is what it is called in the release.

    Raises ReleaseError for a name that is none of a layer's, a special file, a setuid bit, a faulty template, a path
    that no root may be given or more than OVERLAYS_MAX_BYTES in all, EscapeError for a link that leads out, and
    UnreadableError for what cannot be read.
    """
    found, left_bytes = Layers(), OVERLAYS_MAX_BYTES
    for entry in _scan(folder, label):
        where = f"{label}/{entry.name}"
        if entry.name.startswith(".") or (entry.name == HOSTS and not is_secret):
            continue
        _check_layer(entry, where, is_secret=is_secret)
        files = []
        for file in _files(Path(entry.path), where, "", left_bytes, found.notes, is_secret=is_secret):
            left_bytes -= len(file.data)
            files.append(file)
        found.layers[entry.name] = _ordered(files, where)
    return found


def _check_layer(entry: os.DirEntry[str], where: str, *, is_secret: bool) -> None:
    if is_secret and entry.name.startswith("rack="):
        raise ReleaseError(f"{where}: secret files go by machine or profile", hint="name the machines, or a profile")
    if not is_layer(entry.name):
        known = ("default", "profile=", "rack=", "name=")
        raise ReleaseError(
            f"{where} is no layer of nodes' files",
            expected="default, profile=NAME, rack=NAME, name=NAME, or a MAC address as in 52-54-00-12-34-56",
            hint=did_you_mean(entry.name, known, otherwise="rename it, or take it out"),
        )
    if not entry.is_dir(follow_symlinks=False):
        found = "a link" if entry.is_symlink() else "no folder"
        raise ReleaseError(f"{where} is no folder", expected="a folder of files as in the root", found=found)


def _ordered(files: list[NodeFile], where: str) -> tuple[NodeFile, ...]:
    """Return the files in the order of their paths; raise ReleaseError for too many, or for one with two sources."""
    if len(files) > MAX_FILES:
        raise ReleaseError(f"{where} has too many files", expected=f"at most {MAX_FILES}", found=str(len(files)))
    paths = sorted(file.path for file in files)
    twice = next((path for path, after in pairwise(paths) if path == after), "")
    if twice:
        raise ReleaseError(f"{where}/{twice} is there as a file and as a template", hint="keep one of them")
    return tuple(sorted(files, key=lambda file: file.path))


def _scan(folder: Path, label: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UnreadableError(f"{label} cannot be read: {error.strerror}") from error


def _files(
    folder: Path, where: str, under: str, left_bytes: int, notes: list[str], *, is_secret: bool
) -> Iterator[NodeFile]:
    """Yield what is below a folder of a layer, which is at `under` in the root."""
    entries = _scan(folder, f"{where}/{under}".rstrip("/"))
    if not entries:
        notes.append(f"{where}/{under} is empty, and passed over".replace("/ is", " is"))
    for entry in entries:
        path = f"{under}{entry.name}"
        _check_path(path, where)
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), where, f"{path}/", left_bytes, notes, is_secret=is_secret)
        elif entry.is_symlink() and not is_secret:
            yield _link(entry, path, where)
        else:
            file = _file(entry, path, where, left_bytes, notes, is_secret=is_secret)
            left_bytes -= len(file.data)
            yield file


def _check_path(path: str, where: str) -> None:
    plain = path.removesuffix(TEMPLATE)
    if not path.isprintable() or not is_path(path) or not is_path(plain):
        raise ReleaseError(
            f"{where}/{path!r} has a name that cannot be published",
            expected=f"printable text, in all at most {PATH_MAX} characters",
            hint="rename it",
        )
    top = plain.partition("/")[0]
    if top in _MOUNTED_OVER:
        raise ReleaseError(f"{where}/{path}: nobody would see it, /{top} is mounted over", hint="put it elsewhere")
    if plain == _OURS or plain.startswith(f"{_OURS}/"):
        raise ReleaseError(
            f"{where}/{path}: /{_OURS} is for secret settings", hint="see docs/release.md for env/*.secret.env"
        )
    if plain in MACHINE_IDS and where.rpartition("/")[2].startswith(_SHARED):
        raise ReleaseError(
            f"{where}/{path}: machines that share an identity take one another's addresses and logs",
            hint="take it out: each makes its own at its boot; or put one into the layer of a MAC address",
        )


def _link(entry: os.DirEntry[str], path: str, where: str) -> NodeFile:
    try:
        target = str(Path(entry.path).readlink())
    except OSError as error:
        raise UnreadableError(f"{where}/{path} cannot be read: {error.strerror}") from error
    if not target.isprintable() or not leads_inside(path, target):
        raise EscapeError(
            f"{where}/{path} is a link that leads out of the root",
            expected="a target in the root, as in ../usr/lib/x or /usr/lib/x",
            found=repr(target[:80]),
        )
    return NodeFile(path, target=target)


def _file(
    entry: os.DirEntry[str], path: str, where: str, left_bytes: int, notes: list[str], *, is_secret: bool
) -> NodeFile:
    try:
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise ReleaseError(f"{where}/{path} is no file, folder or link", hint="take it out")
            data = file.read(left_bytes + 1)
    except OSError as error:
        raise UnreadableError(f"{where}/{path} cannot be read: {error.strerror}") from error
    if mode & (stat.S_ISUID | stat.S_ISGID):
        raise ReleaseError(
            f"{where}/{path} is setuid or setgid", hint="take the bit off; a plugin may bring such files"
        )
    if len(data) > left_bytes:
        raise ReleaseError(
            f"{where}/{path} is too much: nodes' files are too large in all",
            expected=f"at most {format_size(OVERLAYS_MAX_BYTES)} for all nodes together",
            hint="put what is large into a plugin, and choose it by a profile",
        )
    if not is_secret and (not mode & stat.S_IROTH or _KEY_MARK in data):
        what = "is not for everybody" if not mode & stat.S_IROTH else "is a private key"
        notes.append(f"{where}/{path} {what}, and whoever reaches the site can read it: secrets go into nodes.secret/")
    if is_secret and mode & stat.S_IROTH:
        notes.append(f"everybody on this machine can read {where}/{path}: chmod 600 it")
    plain, runnable = (0o600, 0o700) if is_secret else (0o644, 0o755)
    is_template = path.endswith(TEMPLATE)
    if is_template:
        _check_template(data, f"{where}/{path}")
    return NodeFile(
        path.removesuffix(TEMPLATE), runnable if mode & stat.S_IXUSR else plain, data, is_template=is_template
    )


def _check_template(data: bytes, where: str) -> None:
    try:
        names_in(data.decode(), VALUES)
    except UnicodeDecodeError as error:
        raise ReleaseError(f"{where} is no template", expected="text in UTF-8", found=str(error)[:80]) from error
    except TemplateError as error:
        raise ReleaseError(f"{where}, {error}", hint="without .tmpl in its name it is laid down as it is") from error


def by_machine(
    layers: Mapping[str, tuple[NodeFile, ...]], hosts: Mapping[str, Host]
) -> dict[str, tuple[NodeFile, ...]]:
    """Return secret layers with those of names under the MAC addresses that the table has for them.

    Raises ReleaseError for a name that the table has not, and for more layers than a manifest names.
    """
    macs = {host.name: mac.replace(":", "-") for mac, host in hosts.items() if host.name}
    found = {layer: files for layer, files in layers.items() if not layer.startswith("name=")}
    for layer, files in layers.items():
        name = layer.removeprefix("name=")
        if name == layer:
            continue
        if name not in macs:
            hint = did_you_mean(name, sorted(macs), otherwise=f"put it into {FOLDER}/{HOSTS}")
            raise ReleaseError(f"{SEALED_FOLDER}/{layer}: {FOLDER}/{HOSTS} has no host {name}", hint=hint)
        both = {file.path: file for file in (*files, *found.get(macs[name], ()))}
        found[macs[name]] = tuple(file for _, file in sorted(both.items()))
    if len(found) > MAX_NODE_SECRETS:
        raise ReleaseError(
            f"{SEALED_FOLDER}/ has secret files for too many", expected=f"at most {MAX_NODE_SECRETS} layers",
            found=str(len(found)), hint="put what several have into default, or into a profile",
        )  # fmt: skip
    return found


def check_together(*folders: Mapping[str, tuple[NodeFile, ...]]) -> None:
    """Raise ReleaseError for a file of one layer that is a folder in another: a node that got both could not boot."""
    every = [(layer, file) for layers in folders for layer, files in layers.items() for file in files]
    plain = {file.path: layer for layer, file in every if not file.target}
    for layer, file in every:
        above = [parent for parent in map(str, PurePosixPath(file.path).parents) if parent in plain]
        if above:
            raise ReleaseError(
                f"{above[0]} is a file of {plain[above[0]]} and a folder of {layer}",
                expected="files that can be in one root", found=file.path, hint="rename one of them",
            )  # fmt: skip


def layer_notes(layers: Mapping[str, object], hosts: Mapping[str, Host], profiles: Collection[str]) -> list[str]:
    """Return a line for each layer that no node could be given, as far as the release and its table can tell."""
    names = {host.name for host in hosts.values() if host.name}
    notes = []
    for layer in layers:
        kind, _, name = layer.partition("=")
        if kind == "profile" and name not in profiles:
            hint = did_you_mean(name, sorted(profiles), otherwise="nobody gets it")
            notes.append(f"{FOLDER}/{layer}: the release has no profile {name}; {hint}")
        elif kind == "name" and hosts and name not in names:
            hint = did_you_mean(name, sorted(names), otherwise="nobody gets it, unless `hostname` makes that name")
            notes.append(f"{FOLDER}/{layer}: {FOLDER}/{HOSTS} has no host {name}; {hint}")
    return notes
