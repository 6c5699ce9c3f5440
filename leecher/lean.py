"""Keeps the start-up short: import this before anything else of the leecher.

httpx brings a command line of its own (click, rich, pygments) and HTTP/2 where they happen to be installed; a leecher
uses neither, and they cost more than the rest of the imports together. The collector is told to wait, because importing
makes many objects that live for ever. Measured in docs/performance.md.
"""

from __future__ import annotations

import gc
import sys
from types import ModuleType

_COLLECT_AFTER = 200_000
_UNUSED = ("httpx._main", "h2", "socksio")


def settle() -> None:
    """Exempt what has been imported from every later collection, the one at exit included."""
    gc.freeze()


gc.set_threshold(_COLLECT_AFTER, 20, 100)
_modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
for _name in _UNUSED:
    _modules.setdefault(_name, None)
