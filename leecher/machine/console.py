"""Lines for a person at the console."""

from __future__ import annotations

import sys

from swarmboot.printable import printable


def tell(line: str) -> None:
    """Print one line on the console, escaped: an answer of the network may be part of it."""
    print(f"swarmboot: {printable(line)}", file=sys.stderr, flush=True)
