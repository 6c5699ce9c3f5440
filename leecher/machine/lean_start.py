"""Keeps the start-up short and the memory small: import this before anything else of the leecher.

Libraries bring what a leecher never uses: httpx a command line of its own (click, rich, pygments) and HTTP/2 where they
happen to be installed, trio a DTLS stack and a search for the C library that runs `ldconfig`, or a compiler, only to
name its threads. They cost more than the rest of the imports together. The collector is told to wait, because importing
makes many objects that live for ever. trio itself is imported only when somebody asks for it: a boot has its first
requests to make before that (`leecher.boot.head_start`).

glibc keeps a heap for each thread and gives none of them back. A leecher has a dozen threads that hand each other
pieces, so it has one heap (mallopt(3), M_ARENA_MAX). Measured in docs/performance.md.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from types import ModuleType

_COLLECT_AFTER = 200_000
_M_ARENA_MAX = -8
_UNUSED = ("httpx._main", "h2", "socksio")


class _Absent(ModuleType):
    """A module that is not there, whatever is imported from it."""

    def __getattr__(self, name: str) -> type[object]:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


def _share_one_heap() -> None:
    """Have all threads allocate from one heap, where the C library is one that has more."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def settle() -> None:
    """Exempt what has been imported from every later collection, the one at exit included."""
    gc.freeze()


def _find_no_library(_name: str) -> None:
    """Take the place of `ctypes.util.find_library` while trio is imported."""


def import_trio() -> None:
    """Import trio without what a leecher never uses, unless it is there already."""
    if "trio" in sys.modules or "ctypes.util" in sys.modules:
        return
    sys.modules["trio._dtls"] = _Absent("trio._dtls")
    search = sys.modules["ctypes.util"] = ModuleType("ctypes.util")
    search.find_library = _find_no_library  # type: ignore[attr-defined]
    ctypes.util = search
    import trio  # noqa: F401 - only now is everything in place

    del sys.modules["ctypes.util"], ctypes.util


_share_one_heap()
gc.set_threshold(_COLLECT_AFTER, 20, 100)
_modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
for _name in _UNUSED:
    _modules.setdefault(_name, None)
