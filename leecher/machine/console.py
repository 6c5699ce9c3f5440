"""Lines for a person at the console."""

from __future__ import annotations

import sys


def tell(line: str) -> None:
    """Print one line on the console."""
    print(f"swarmboot: {line}", file=sys.stderr, flush=True)
