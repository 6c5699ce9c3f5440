"""Where a release's nodes keep what outlives a boot: a disk of theirs, or a folder of an NFS server. Pure.

A source is `LABEL=`, `UUID=`, `PARTLABEL=` or `PARTUUID=` with a name, a device, or `SERVER:/PATH`, in which values of
the node stand in braces (`swarmboot.text.template`). All words are narrow, as a shell reads them in the initramfs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from swarmboot.codec import DecodeError, Fields
from swarmboot.release.node_overlay import VALUES
from swarmboot.text.template import TemplateError, filled_in, names_in

DISK_TYPES = ("ext4", "xfs", "btrfs")
NETWORK_TYPES = ("nfs4", "nfs")
DRIVERS = {**{name: name for name in DISK_TYPES}, "nfs4": "nfsv4", "nfs": "nfsv3"}
"""By type, the module that a kernel mounts it with."""

DEFAULT_WHERE = "/srv"
DEFAULT_OPTIONS = "nosuid,nodev"
CONTINUE, STOP = "continue", "stop"
_DISK = re.compile(r"(?:(?:LABEL|UUID|PARTLABEL|PARTUUID)=[A-Za-z0-9._-]{1,64}|/dev(?:/[A-Za-z0-9._:-]{1,64}){1,4})\Z")
_SERVER = r"(?P<server>[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])"
_NFS = re.compile(_SERVER + r":(?P<path>/[A-Za-z0-9._/{}-]{0,255})\Z")
_NFS_FILLED = re.compile(_SERVER + r":(?P<path>/[A-Za-z0-9._/:-]{0,511})\Z")
_WHERE = re.compile(r"(?:/[A-Za-z0-9._+-]{1,64}){1,8}\Z")
_OPTIONS = re.compile(r"[A-Za-z0-9=._:,-]{0,256}\Z")
_NOT_OVER = frozenset({"/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/sbin", "/usr", "/var"})
_NOT_BELOW = ("/dev/", "/proc/", "/run/", "/sys/", "/tmp/")  # noqa: S108 - nothing is written there


class StorageError(ValueError):
    """Occurs when a value is none that storage can have: `key`, and what it takes."""

    def __init__(self, key: str, expected: str) -> None:
        super().__init__(f"{key} is not {expected}")
        self.key = key
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Storage:
    """What to mount, where in the root, and whether a node boots without it."""

    source: str
    where: str = DEFAULT_WHERE
    type: str = "ext4"
    options: str = ""
    is_needed: bool = False

    @property
    def is_network(self) -> bool:
        """Return whether it lies on a server."""
        return self.type in NETWORK_TYPES


@dataclass(frozen=True, slots=True)
class Mount:
    """Storage of one node: the words of a mount(8), and the server whose address is asked for, empty for a disk."""

    type: str
    source: str
    where: str
    options: str
    server: str = ""


def storage_of(source: str, where: str = "", kind: str = "", options: str = "", missing: str = "") -> Storage:
    """Return storage as it is written in a release.toml, empty words left to their defaults; raise StorageError."""
    is_disk = bool(_DISK.match(source)) and ".." not in source
    if not is_disk and not _is_nfs(source):
        raise StorageError("storage", "LABEL=NAME, UUID=, PARTLABEL=, PARTUUID=, a device, or SERVER:/PATH of NFS")
    kinds = DISK_TYPES if is_disk else NETWORK_TYPES
    where = where or DEFAULT_WHERE
    is_sane = _WHERE.match(where) and not {".", ".."} & set(where.split("/"))
    if not is_sane or where in _NOT_OVER or f"{where}/".startswith(_NOT_BELOW):
        raise StorageError("storage_at", "a folder of the root that no system boots from, as /srv")
    if kind and kind not in kinds:
        raise StorageError("storage_type", " or ".join(kinds))
    if not _OPTIONS.match(options):
        raise StorageError("storage_options", "options of mount(8), as noatime,commit=60")
    if missing not in ("", CONTINUE, STOP):
        raise StorageError("storage_missing", f"{CONTINUE} or {STOP}")
    return Storage(source, where, kind or kinds[0], options, missing == STOP)


def _is_nfs(source: str) -> bool:
    match = _NFS.match(source)
    try:
        return match is not None and ".." not in match["path"] and names_in(match["path"], VALUES) is not None
    except TemplateError:
        return False


def mount_of(storage: Storage, values: Mapping[str, str]) -> Mount:
    """Return one node's mount; raise StorageError if its source names a value that nobody knows of the node."""
    options = ",".join(filter(None, (DEFAULT_OPTIONS, storage.options)))
    if not storage.is_network:
        return Mount(storage.type, storage.source, storage.where, options)
    lacking = sorted(name for name in names_in(storage.source, VALUES) if not values.get(name))
    source = filled_in(storage.source, values)
    match = _NFS_FILLED.match(source)
    if lacking or match is None or ".." in match["path"]:
        unknown = ", ".join(lacking) or source[:80]
        raise StorageError(f"storage {storage.source} of this node", f"a folder: {unknown} is not known")
    return Mount(storage.type, source, storage.where, options, match["server"].strip("[]"))


def storage_value(storage: Storage) -> dict[str, object]:
    """Return storage as the manifest has it."""
    return {
        "source": storage.source, "where": storage.where, "type": storage.type, "options": storage.options,
        "missing": STOP if storage.is_needed else CONTINUE,
    }  # fmt: skip


def decode_storage(value: object) -> Storage:
    """Return storage from a manifest; raise DecodeError for what this version does not mount."""
    fields = Fields(value, "manifest.storage")
    words = (fields.text(name, most=512, default="") for name in ("source", "where", "type", "options", "missing"))
    fields.check_critical(frozenset())
    try:
        return storage_of(*words)
    except StorageError as error:
        raise DecodeError(f"manifest.storage: {error}") from error
