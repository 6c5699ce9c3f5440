"""Lines for a person at the console."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from swarmboot.printable import printable

_also: list[Callable[[str], None]] = []


def tell(line: str) -> None:
    """Print one line on the console, escaped: an answer of the network may be part of it."""
    shown = printable(line)
    print(f"swarmboot: {shown}", file=sys.stderr, flush=True)
    for call in _also:
        call(shown)


@contextmanager
def also_to(call: Callable[[str], None]) -> Iterator[None]:
    """Have `call` called with each line as well, while the context is open."""
    _also.append(call)
    try:
        yield
    finally:
        _also.remove(call)
