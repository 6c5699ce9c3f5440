"""What `swarmboot serve` says first: what a person who has just started it wants to know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seeder.http.authority import ServerCertificate, local_addresses
from seeder.site.reader import channel_names, pointed_number, read_regular_file
from swarmboot.errors import SwarmbootError
from swarmboot.release import layout, manifest, trust
from swarmboot.text.addresses import host_port, split_host_port
from swarmboot.text.units import format_rate

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what the operator gave
"""By the address that stands for all of this machine's, one that only this machine has."""


def start_lines(site: Path, url: str, uplink_bytes_per_s: float, certificate: ServerCertificate) -> Iterator[str]:
    """Yield what is served, where, who may look, and what nodes need; paths are as they were given."""
    numbers = ", ".join(map(str, layout.manifest_numbers(site)))
    yield f"serving {site}, manifests {numbers}: {'; '.join(_channels(site)) or 'no channel points to any'}"
    yield f"listening on {url}, uplink {format_rate(uplink_bytes_per_s)}"
    if addresses := _reached_at(url):
        yield f"nodes reach it at {', '.join(addresses)}"
    here = _reached_here(url)
    yield f"how it goes: {here}/ui/, swarmboot status; figures for Prometheus: {here}/metrics"
    if certificate.authority is not None:
        yield f"nodes need the authority's certificate {certificate.authority} (--ca)"
    else:
        yield f"nodes are shown the certificate {certificate.certificate}"


def _channels(site: Path) -> Iterator[str]:
    """Yield each channel with the release that it points to, as far as files can be read."""
    for name in channel_names(site):
        try:
            number = pointed_number(site, name)
            data = read_regular_file(site / layout.manifest_path(number), most_bytes=trust.ENVELOPE_MAX_BYTES)
            found = manifest.decode(trust.open_envelope(data, trust.Kind.MANIFEST).payload)
        except (SwarmbootError, OSError) as error:
            yield f"channel {name} cannot be read: {error}"
        else:
            fleet = f" of fleet {found.fleet}" if found.fleet else ""
            yield f"channel {name} is {found.name}{fleet} (manifest {number})"


def _reached_here(url: str) -> str:
    """Return where a browser on this machine finds it: who listens at all addresses is at none called 0.0.0.0."""
    host, port = split_host_port(url.removeprefix("https://"))
    return f"https://{host_port(_LOOPBACK[host], port)}" if host in _LOOPBACK else url


def _reached_at(url: str) -> list[str]:
    """Return the URLs of every address of this machine where it listens at all of them; nothing elsewhere."""
    host, port = split_host_port(url.removeprefix("https://"))
    if host not in _LOOPBACK:
        return []
    return [f"https://{host_port(each, port)}" for each in local_addresses() if ":" not in each or host == "::"]
