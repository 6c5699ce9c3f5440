"""What the running seeder or its record says of nodes and boots; None where neither is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def boots_and_nodes(
    *, server: str, ca: Path | None, token_file: Path | None, state: Path | None, most: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
    """Return the last boots, `most` of them, and the nodes that are current, as `/api/history` and `/api/nodes` do."""
    try:
        source = find_source(server=server, ca=ca, token_file=token_file, state=state)
        return source.history(limit=most)["boots"], source.nodes(state="", rack=None)["nodes"]
    except (UnreachableError, ForbiddenError):
        if server or state is not None:
            raise
        return None
