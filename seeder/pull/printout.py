"""What `pull` tells a person, and the same as JSON. Pure: text and values, no printing."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from seeder.pull.pull import Pulled
from swarmboot.text.units import format_size


def pulled_lines(pulled: Pulled, *, url: str, site: Path) -> list[str]:
    """Return what `pull` prints."""
    lines = [f"note: {note}" for note in pulled.notes]
    for image in pulled.images:
        parts = [f"{format_size(image.fetched_bytes)} fetched"]
        parts += [f"{format_size(image.copied_bytes)} from images that were here"] if image.copied_bytes else []
        parts += [f"{format_size(image.kept_bytes)} from a pull that was stopped"] if image.kept_bytes else []
        lines.append(f"{image.name}, {format_size(image.size_bytes)}: {', '.join(parts)}")
    for promise in pulled.promises:
        name, manifest = promise.target.name, promise.manifest
        was = pulled.was[name]
        before = "" if was == manifest.sequence else f" (was {was})" if was else " (new here)"
        lines.append(f"channel {name}: manifest {manifest.sequence}, {manifest.name}{before}")
    if not pulled.is_new:
        return [*lines, f"nothing to do: {site} has what {url} has"]
    return [
        *lines,
        f"pulled {format_size(pulled.fetched_bytes)} from {url}; serve it: swarmboot serve {shlex.quote(str(site))}",
    ]


def pulled_value(pulled: Pulled, *, url: str, site: Path) -> dict[str, Any]:
    """Return the one JSON object of `pull --json`; sizes in bytes."""
    return {
        "site": str(site),
        "from": url,
        "is_new": pulled.is_new,
        "channels": [
            {
                "channel": promise.target.name,
                "sequence": promise.manifest.sequence,
                "was": pulled.was[promise.target.name],
                "name": promise.manifest.name,
                "fleet": promise.manifest.fleet,
                "expires_unix_s": promise.manifest.expires_unix_s,
            }
            for promise in pulled.promises
        ],
        "images": [
            {
                "name": image.name,
                "size_bytes": image.size_bytes,
                "fetched_bytes": image.fetched_bytes,
                "copied_bytes": image.copied_bytes,
                "kept_bytes": image.kept_bytes,
            }
            for image in pulled.images
        ],
        "fetched_bytes": pulled.fetched_bytes,
        "copied_bytes": pulled.copied_bytes,
        "notes": pulled.notes,
    }
