"""How many nodes are on each release, from the running seeder or its record; None where neither is there."""

from __future__ import annotations

from pathlib import Path

from seeder.console.source import find_source
from swarmboot.errors import ForbiddenError, UnreachableError


def nodes_by_release(
    *, server: str, ca: Path | None, token_file: Path | None, state: Path | None
) -> dict[int, int] | None:
    """Return the nodes that are up or booting by release; None if there is nobody to ask and no server was named."""
    try:
        fleet = find_source(server=server, ca=ca, token_file=token_file, state=state).fleet()
    except (UnreachableError, ForbiddenError):
        if server:
            raise
        return None
    return {int(each["sequence"]): int(each["nodes"]) for each in fleet.get("releases", [])}
