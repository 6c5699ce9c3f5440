"""The releases of a site in a table: numbers, names, channels, sizes, and the nodes on each where that is known.

Signatures are not checked here; `swarmboot verify` does, and nodes do. One that cannot be read is listed as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seeder.site.canaries import canary_channels, read_canary
from seeder.site.pins import pinned
from seeder.site.reader import channel_names, pointed_number, read_unbelieved
from swarmboot.errors import BlobError, ManifestError, SwarmbootError, TrustError
from swarmboot.ids import Sequence
from swarmboot.release import layout
from swarmboot.release.manifest import Manifest
from swarmboot.text.units import format_size


@dataclass(frozen=True, slots=True)
class Listed:
    """One release. `canary` says who boots it as one; `fault` why it cannot be read: there is no manifest then."""

    number: Sequence
    manifest: Manifest | None
    channels: tuple[str, ...] = ()
    is_pinned: bool = False
    canary: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A site's releases, the newest first. `nodes` are how many nodes are on each, None where nobody can be asked.

    `faults` are why channels cannot be read, by name.
    """

    releases: tuple[Listed, ...]
    nodes: Mapping[int, int] | None = field(default=None)
    faults: Mapping[str, str] = field(default_factory=dict)


def read_listing(site: Path, nodes: Mapping[int, int] | None) -> Listing:
    """Return the releases of a site; raise SiteError for what is none."""
    layout.check_site(site)
    channels: dict[int, list[str]] = {}
    faults = {}
    for name in channel_names(site):
        try:
            channels.setdefault(pointed_number(site, name), []).append(name)
        except (BlobError, ManifestError) as error:
            faults[name] = _reason(error)
    pins, canaries = pinned(site), _canaries(site)
    found = []
    for number in reversed(layout.manifest_numbers(site)):
        manifest, fault = None, ""
        try:
            manifest = read_unbelieved(site, number)
        except (BlobError, ManifestError) as error:
            fault = _reason(error)
        names = tuple(channels.get(number, ()))
        who = "; ".join(canaries[name] for name in names if name in canaries)
        found.append(Listed(number, manifest, names, number in pins, who, fault))
    return Listing(tuple(found), nodes, faults)


def _reason(error: SwarmbootError) -> str:
    return f"{error.what}: {error.found}" if error.found else error.what


def _canaries(site: Path) -> dict[str, str]:
    """Return who boots which channel as a canary; one that cannot be read is nobody's."""
    found = {}
    for channel in canary_channels(site):
        with suppress(BlobError, TrustError):
            if canary := read_canary(site, channel, None):
                found[canary.source] = canary.who
    return found


def lines(listing: Listing) -> list[str]:
    """Return the table."""
    rows = [("NUMBER", "NAME", "CHANNELS", "SIZE", "NODES", "ISSUED", "UNTIL", "")]
    for each in listing.releases:
        head = str(each.number)
        if each.manifest is None:
            rows.append((head, f"? {each.fault}", "", "", "", "", "", ""))
            continue
        nodes = "?" if listing.nodes is None else str(listing.nodes.get(each.number, 0))
        channels = ", ".join(each.channels) or "-"
        size = format_size(sum(artifact.size_bytes for artifact in each.manifest.artifacts))
        days = (_day(each.manifest.issued_unix_s), _day(each.manifest.expires_unix_s))
        marks = ("pinned" if each.is_pinned else "", f"canary: {each.canary}" if each.canary else "")
        rows.append((head, each.manifest.name, channels, size, nodes, *days, ", ".join(filter(None, marks))))
    widths = [max(len(row[column]) for row in rows if "?" not in row[1][:1]) for column in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*table, *(f"? channel {name}: {fault}" for name, fault in listing.faults.items())]


def _day(unix_s: float) -> str:
    latest = datetime.max.replace(tzinfo=UTC).timestamp() - 1
    return datetime.fromtimestamp(min(unix_s, latest), UTC).strftime("%Y-%m-%d")


def value(listing: Listing) -> dict[str, Any]:
    """Return it as JSON has it."""
    releases = [_value(each, listing.nodes) for each in listing.releases]
    return {"releases": releases, "channel_faults": dict(listing.faults)}


def _value(each: Listed, nodes: Mapping[int, int] | None) -> dict[str, Any]:
    known: dict[str, Any] = {"sequence": each.number, "channels": list(each.channels), "is_pinned": each.is_pinned}
    known["canary"] = each.canary
    if each.manifest is None:
        return {**known, "fault": each.fault}
    return {
        **known,
        "name": each.manifest.name,
        "fleet": each.manifest.fleet,
        "issued_unix_s": each.manifest.issued_unix_s,
        "expires_unix_s": each.manifest.expires_unix_s,
        "size_bytes": sum(artifact.size_bytes for artifact in each.manifest.artifacts),
        "nodes": None if nodes is None else nodes.get(each.number, 0),
    }
