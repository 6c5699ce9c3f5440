"""The overlays of a release: files that single nodes, racks or profiles get in their root, and the table of hosts.

All of a release's overlays are one small image, which the signed manifest names as it names the others, so that nodes
have it from one another too, and each takes out what is its own (`swarmboot.release.node_root`). In it, packed with
gzip (RFC 1952), is one value of `swarmboot.codec`:

    {"format": 1, "hostname": TEMPLATE, "hosts": {MAC: {"name": ...}}, "layers": {LAYER: [{"path": ..., ...}]}}

A layer is `default`, `profile=NAME`, `rack=NAME`, `name=NAME` or a MAC address as in `52-54-00-12-34-56`. Everything in
it is root's, a file has mode 0644 or 0755, a secret one 0600 or 0700, and a link leads to a place in the root. Pure.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from swarmboot.codec import DecodeError, Fields, pack, unpack
from swarmboot.errors import ManifestError

IMAGE_NAME = "nodes.gz"
IMAGE_FORMAT = "nodes.gz"
OVERLAYS_MAX_BYTES = 16 << 20
"""What a release's overlays may take, all of them together, unpacked: each node has them in memory for a moment."""

MAX_FILES = 4096
MAX_HOSTS = 1 << 16
PATH_MAX = 512
DEFAULT_LAYER = "default"
VALUES = ("address", "hostname", "mac", "mac_dashes", "profile", "rack")
"""What a template may name."""

_LAYERS_MAX = 16
"""So many layers a node gets at the most, and more than its cards are."""

_FORMAT = 1
_GZIP = 31  # zlib's word for a gzip header and trailer
_PART = re.compile(r"[^/\x00-\x1f\x7f]{1,255}\Z")
_LAYER = re.compile(r"(?:default|[0-9a-f]{2}(?:-[0-9a-f]{2}){5}|(?:profile|rack|name)=[A-Za-z0-9._:-]{1,64})\Z")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_NAME = re.compile(r"(?=.{1,64}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")
_LABEL = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")
_MODES = (0o600, 0o644, 0o700, 0o755)


@dataclass(frozen=True, slots=True)
class NodeFile:
    """One file or link of a layer. `path` counts from the root, without a leading slash.

    A link has a `target` and no data. The data of a template has its values filled in on the node.
    """

    path: str
    mode: int = 0o644
    data: bytes = field(default=b"", repr=False)
    target: str = ""
    is_template: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """What the table says of one machine; what it does not say is empty."""

    name: str = ""
    rack: str = ""
    profile: str = ""
    address: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeOverlays:
    """A release's layers by name, its hosts by MAC address (lower case, colons), and the template of host names."""

    layers: Mapping[str, tuple[NodeFile, ...]] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    hostname: str = ""


def encode_overlays(overlays: NodeOverlays) -> bytes:
    """Return the bytes of the image; the same overlays give the same."""
    layers = {name: [_file_value(file) for file in files] for name, files in overlays.layers.items()}
    hosts = {mac: _host_value(host) for mac, host in overlays.hosts.items()}
    value = {"format": _FORMAT, "hostname": overlays.hostname, "hosts": hosts, "layers": layers}
    return gzip.compress(pack(value), mtime=0)


def encode_files(files: Iterable[NodeFile]) -> bytes:
    """Return one node's files, as they are handed on within it."""
    return pack({"files": [_file_value(file) for file in files]})


def decode_files(data: bytes) -> tuple[NodeFile, ...]:
    """Return what `encode_files` was given; raise DecodeError for anything else."""
    fields = Fields(unpack(data, max_bytes=2 * OVERLAYS_MAX_BYTES), "answer")
    return _files("files", fields.mapping("files"), most=_LAYERS_MAX * MAX_FILES)


def _file_value(file: NodeFile) -> dict[str, object]:
    if file.target:
        return {"path": file.path, "link": file.target}
    return {"path": file.path, "mode": file.mode, "data": file.data, **({"template": True} if file.is_template else {})}


def _host_value(host: Host) -> dict[str, object]:
    value = {"name": host.name, "rack": host.rack, "profile": host.profile, "address": host.address}
    return {**{key: text for key, text in value.items() if text}, **({"env": dict(host.env)} if host.env else {})}


def decode_overlays(data: bytes) -> NodeOverlays:
    """Return the overlays in an image; raise ManifestError if it is none that this version can obey."""
    try:
        return _decode(_unpacked(data))
    except (DecodeError, zlib.error) as error:
        hint = "publish with the same version of swarmboot, or rebuild this node's initramfs"
        raise ManifestError(f"the signed overlays of nodes cannot be used: {error}", hint=hint) from error


def _unpacked(data: bytes) -> bytes:
    unpacking = zlib.decompressobj(_GZIP)
    found = unpacking.decompress(data, OVERLAYS_MAX_BYTES + 1)
    if len(found) > OVERLAYS_MAX_BYTES:
        raise DecodeError(f"more than {OVERLAYS_MAX_BYTES} bytes unpacked")
    if not unpacking.eof or unpacking.unused_data:
        raise DecodeError("not one whole gzip file")
    return found


def _decode(data: bytes) -> NodeOverlays:
    fields = Fields(unpack(data, max_bytes=OVERLAYS_MAX_BYTES), "overlays")
    if fields.integer("format") != _FORMAT:
        raise DecodeError(f"format {fields.integer('format')}, this version knows {_FORMAT}")
    fields.check_critical(frozenset({"format", "hostname", "hosts", "layers"}))
    layers, hosts = fields.mapping("layers"), fields.mapping("hosts")
    if not isinstance(layers, dict) or not isinstance(hosts, dict):
        raise DecodeError("overlays.layers or overlays.hosts is not a map")
    if not all(isinstance(name, str) and is_layer(name) for name in layers):
        raise DecodeError("overlays.layers has a name that is none of a layer")
    if len(hosts) > MAX_HOSTS or not all(isinstance(mac, str) and _MAC.match(mac) for mac in hosts):
        raise DecodeError("overlays.hosts names something that is no MAC address")
    return NodeOverlays(
        {name: _files(name, items) for name, items in layers.items()},
        {mac: _host(value) for mac, value in hosts.items()},
        fields.text("hostname", default=""),
    )


def _files(name: str, items: object, *, most: int = MAX_FILES) -> tuple[NodeFile, ...]:
    files = tuple(_file(item) for item in Fields({"files": items}, name).items("files", most=most))
    paths = [file.path for file in files]
    if paths != sorted(set(paths)):
        raise DecodeError(f"the files of {name} are not in order, or one is there twice")
    return files


def _file(item: object) -> NodeFile:
    fields = Fields(item, "file")
    path = fields.text("path", most=PATH_MAX)
    if not is_path(path):
        raise DecodeError("file.path is not a plain path below the root")
    if fields.has("link"):
        target = fields.text("link", most=PATH_MAX)
        if not leads_inside(path, target):
            raise DecodeError(f"the link {path} leads out of the root")
        return NodeFile(path, target=target)
    mode = fields.integer("mode", most=0o777)
    if mode not in _MODES:
        raise DecodeError(f"{path} has mode {mode:04o}")
    return NodeFile(
        path, mode, fields.raw("data", most=OVERLAYS_MAX_BYTES), is_template=fields.truth("template", default=False)
    )


def _host(value: object) -> Host:
    fields = Fields(value, "host")
    name, rack, profile, address = (fields.text(each, default="") for each in ("name", "rack", "profile", "address"))
    host = Host(name, rack, profile, address, fields.text_map("env", most=1024))
    if host.name and not is_host_name(host.name):
        raise DecodeError("host.name is no host name")
    return host


def is_layer(name: str) -> bool:
    """Return whether this is a layer's name."""
    return _LAYER.match(name) is not None


def is_host_name(name: str) -> bool:
    """Return whether a machine may be called so: labels of RFC 1123 in lower case, at most Linux' 64 characters."""
    return _NAME.match(name) is not None


def is_label(text: str) -> bool:
    """Return whether a rack or a profile may be called so: letters, digits and `._:-`, at most 64."""
    return _LABEL.match(text) is not None


def is_path(path: str) -> bool:
    """Return whether this is a plain path below the root: no empty part, no `.` or `..`, no control characters."""
    return len(path) <= PATH_MAX and all(_PART.match(part) and part not in (".", "..") for part in path.split("/"))


def leads_inside(path: str, target: str) -> bool:
    """Return whether a link at `path` climbs nowhere above the root; an absolute target counts from the root."""
    if not target or len(target) > PATH_MAX or re.search(r"[\x00-\x1f\x7f]", target):
        return False
    depth = 0 if target.startswith("/") else path.count("/")
    for part in target.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return False
    return True
