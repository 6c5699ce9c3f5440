"""What of a release's overlays one node gets: a pure choice from the overlays and what the node knows of itself.

Layers go over one another, the later one winning: `default`, `profile=`, `rack=`, `name=`, the MAC addresses. Name,
rack and address are the table's for one of its MAC addresses; where it has none the rack on the command line counts,
and the address that the node has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from swarmboot.release.node_overlay import (
    DEFAULT_LAYER,
    Host,
    NodeFile,
    NodeOverlays,
    is_host_name,
    is_label,
)
from swarmboot.text.addresses import read_address
from swarmboot.text.template import TemplateError, filled_in, names_in

HOST_NAME = "etc/hostname"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node knows of itself: MAC addresses, the one that it boots by last; where it stands, what it boots.

    Rack and address come over an unsigned channel: what is no label, or no address, is passed over.
    """

    macs: tuple[str, ...] = ()
    rack: str = ""
    profile: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class NodeRoot:
    """What goes into one node's root: files and links, templates filled in; settings; its name, if it is given one."""

    files: tuple[NodeFile, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    layers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)


def secret_layers(known: Collection[str], facts: NodeFacts) -> tuple[str, ...]:
    """Return which layers of secret files a node gets, the later one winning: by profile and MAC addresses alone."""
    keys = (DEFAULT_LAYER, f"profile={facts.profile}", *(mac.replace(":", "-") for mac in facts.macs))
    return tuple(key for key in keys if key in known)


def node_root(overlays: NodeOverlays, facts: NodeFacts, secret: Iterable[NodeFile] = ()) -> NodeRoot:
    """Return what this node gets; a value that a template names and nobody knows is left empty, with a note.

    `secret` are its secret files, which go over all others.
    """
    mac = next((each for each in reversed(facts.macs) if each in overlays.hosts), facts.macs[-1] if facts.macs else "")
    host = overlays.hosts.get(mac, Host())
    rack = host.rack or (facts.rack if is_label(facts.rack) else "")
    values = {
        "address": _plain(host.address) or _plain(facts.address),
        "mac": mac,
        "mac_dashes": mac.replace(":", "-"),
        "profile": facts.profile,
        "rack": rack,
    }
    notes: list[str] = []
    values["hostname"] = host.name or _host_name(overlays.hostname, values, notes)
    keys = (
        DEFAULT_LAYER,
        f"profile={facts.profile}",
        f"rack={rack}",
        f"name={values['hostname']}",
        *(each.replace(":", "-") for each in facts.macs),
    )
    layers = tuple(key for key in keys if key in overlays.layers)
    found = {file.path: file for layer in layers for file in overlays.layers[layer]}
    found |= {file.path: file for file in secret}
    if values["hostname"] and HOST_NAME not in found:
        found[HOST_NAME] = NodeFile(HOST_NAME, data=f"{values['hostname']}\n".encode())
    files = tuple(_filled(file, values, notes) for _, file in sorted(found.items()))
    return NodeRoot(files, dict(host.env), values["hostname"], layers, tuple(notes), values)


def _plain(address: str) -> str:
    """Return an address; nothing for what is none, or has a scope (RFC 4007), which can be any text at all."""
    try:
        return read_address(address)
    except ValueError:
        return ""


def _host_name(template: str, values: Mapping[str, str], notes: list[str]) -> str:
    if not template:
        return ""
    name = filled_in(template, values).lower()
    if is_host_name(name):
        return name
    notes.append(f"this node gets no name: {name[:80]!r}, of the template {template!r}, is no host name")
    return ""


def _filled(file: NodeFile, values: Mapping[str, str], notes: list[str]) -> NodeFile:
    if not file.is_template:
        return file
    text = file.data.decode(errors="replace")
    try:
        lacking = sorted(name for name in names_in(text, values) if not values[name])
    except TemplateError as error:
        notes.append(f"{file.path} is laid down as it is: {error}")
        return NodeFile(file.path, file.mode, file.data)
    if lacking:
        notes.append(f"{file.path} names {', '.join(lacking)}, which nobody knows of this node: left empty")
    return NodeFile(file.path, file.mode, filled_in(text, values).encode())
