"""What the leecher leaves for the hook: which images to mount in which order, and what else the booted node is told.

Three files in one folder. `plan` is for the shell, a line an image, of words without blanks or quotes:

    root FORMAT NAME      plugin FORMAT NAME      overlay SIZE      seed on|off      search on|off
    storage TYPE SOURCE WHERE continue|stop OPTIONS

`search` says whether the squashfs plugins are searched for what plugins may not bring.

`environment` is the /etc/environment of a root that has none, and `handover.json` is for `leecher.initramfs.root`,
which unpacks what cannot be mounted and merges settings. `secret.env` are the release's secret settings, if it has
some, for root only, `own-files` what this node alone gets in its root, and `credentials` what the neighbour in the
booted system announces with. `devices` names, a line an image, where one can be read that is not whole yet. `keep` is
the manifest, where images are to be kept in a cache. It will not mount or unpack anything.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from swarmboot.errors import ResourceError
from swarmboot.host.files import write_whole
from swarmboot.release.manifest import Manifest
from swarmboot.release.node_root import NodeRoot
from swarmboot.release.profile import Selection
from swarmboot.settings import NodeSettings

FOLDER = "handover"
FACTS = "handover.json"
"""The folder, in /run/swarmboot, and this file are spelled so because scripts outside of this tree may read them."""
PLAN = "plan"
DEVICES = "devices"
CACHE = "cache"
"""Left by the hook: the device that this node's cache is on."""
KEEP = "keep"
"""The manifest of what is to be kept in the cache."""
ENVIRONMENT = "environment"
SECRETS = "secret.env"
OWN_FILES = "own-files"
OWN_SECRETS = "own-secrets"
"""What is secret among a node's own files, until they are put together; both are gone once the root is."""
CREDENTIALS = "credentials"
ALL_ALLOWED = frozenset({"devices", "setuid"})
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:@%+,=-]*\Z")


@dataclass(frozen=True, slots=True)
class Image:
    """One image on this node, under the folder of the images."""

    role: str
    format: str
    name: str


@dataclass(frozen=True, slots=True)
class HandOff:
    """Everything that the root is made of. `allow` names what plugins may bring beyond plain files; `hostname` is the
    name that this node is given, empty for none.
    """

    folder: str
    images: tuple[Image, ...]
    env: Mapping[str, str]
    allow: tuple[str, ...]
    overlay: str
    is_seeding: bool
    hostname: str = ""
    storage: str = ""


def hand_off_of(
    manifest: Manifest, selection: Selection, settings: NodeSettings, own: NodeRoot | None = None, storage: str = ""
) -> HandOff:
    """Return what a booted selection becomes; `own` is what this node alone gets, `storage` the words of its mount."""
    own = own or NodeRoot()
    images = tuple(Image(each.role.value, each.format, each.name) for each in selection.artifacts)
    folder = str(settings.into)
    env, is_seeding = {**selection.env, **own.env}, settings.seed_bytes_per_s > 0
    return HandOff(folder, images, env, manifest.allow, settings.overlay, is_seeding, own.hostname, storage)


def plan(hand_off: HandOff) -> str:
    """Return the shell's part."""
    lines = [f"{image.role} {image.format} {image.name}" for image in hand_off.images]
    lines += [f"overlay {hand_off.overlay}", f"seed {'on' if hand_off.is_seeding else 'off'}"]
    has_layers = any(image.role == "plugin" and image.format == "squashfs" for image in hand_off.images)
    is_searched = has_layers and not ALL_ALLOWED.issubset(hand_off.allow)
    lines += [f"search {'on' if is_searched else 'off'}"]
    lines += [f"storage {hand_off.storage}"] if hand_off.storage else []
    return "".join(f"{line}\n" for line in lines)


def write(hand_off: HandOff, folder: Path, devices: Mapping[str, str] | None = None) -> None:
    """Write the files, the plan last; `devices` say where images are read that are not whole yet. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DEVICES).write_text("".join(f"{name} {device}\n" for name, device in (devices or {}).items()))
    (folder / FACTS).write_text(json.dumps(asdict(hand_off)))
    (folder / ENVIRONMENT).write_text(environment_text("", hand_off.env))
    write_whole(folder / PLAN, plan(hand_off).encode(), mode=0o644, is_flushed=False)


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, in place of one that was there; raises OSError."""
    write_private(path, text.encode(errors="surrogateescape"))


def write_private(path: Path, data: bytes) -> None:
    """Write a file of any bytes that only its owner may read, in place of one that was there; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(data)


def read(folder: Path) -> HandOff:
    """Return what `write` wrote; raise ResourceError for anything else, OSError if it cannot be read."""
    try:
        value = json.loads((folder / FACTS).read_text())
        images = tuple(Image(**image) for image in value.pop("images"))
        return HandOff(images=images, allow=tuple(value.pop("allow")), **value)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ResourceError(f"{folder / FACTS} is not what the boot has written", hint="boot again") from error


def environment_text(old: str, env: Mapping[str, str]) -> str:
    """Return /etc/environment with the release's settings in it: as data, each on its line, in place of older ones.

    Values are quoted as systemd's EnvironmentFile= reads them (systemd.exec(5)) where they hold more than plain
    characters; pam_env(8) takes the quotes off as well.
    """
    kept = [line for line in old.splitlines() if line.partition("=")[0].strip() not in env]
    return "".join(f"{line}\n" for line in [*kept, *(f"{name}={_quoted(value)}" for name, value in env.items())])


def _quoted(value: str) -> str:
    return value if _PLAIN_VALUE.match(value) else '"' + re.sub(r'([\\"$`])', r"\\\1", value) + '"'
