"""Keeps the start-up short and the memory small: import this before anything else of the leecher.

Libraries bring what a leecher never uses: trio a DTLS stack, processes, and a search for the C library that runs
`ldconfig`, or a compiler, only to name its threads. Others bring what they need for one thing that a leecher hardly
ever does, and get it when it is done (docs/decisions/0077). The collector is told to wait, because importing makes many
objects that live for ever. trio itself is imported only when somebody asks for it: a boot has its first
requests to make before that (`leecher.boot.head_start`).

glibc keeps a heap for each thread and gives none of them back. A leecher has a dozen threads that hand each other
pieces, so it has one heap (mallopt(3), M_ARENA_MAX). Measured in docs/performance.md.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_COLLECT_AFTER = 200_000
_M_ARENA_MAX = -8
_UNUSED_OF_TRIO = ("trio._dtls", "trio._subprocess")


class _Absent(ModuleType):
    """A module that is not there, whatever is imported from it."""

    def __getattr__(self, name: str) -> type[object]:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


class _Later(ModuleType):
    """A module that is loaded when something of it is first asked for, whatever has imported it before.

    importlib's own LazyLoader loads one as soon as a second module imports it (Python 3.11).
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


class _Logging(ModuleType):
    """Hands out loggers that load `logging` when something is logged: trio makes three, and mostly logs nothing."""

    def getLogger(self, name: str) -> Any:  # noqa: N802 - the name that logging has for it
        """Return a logger."""
        return _LoggerLater(name)


class _LoggerLater:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("logging").getLogger(self._name), name)


class _EntitiesLater(dict[str, str]):
    """HTML's names of characters, loaded when somebody looks for one: `http.server` brings them, and never does."""

    def __contains__(self, name: object) -> bool:
        if not self:
            self.update(importlib.import_module("html.entities").html5)
        return super().__contains__(name)


@contextmanager
def _in_place(*modules: ModuleType) -> Iterator[None]:
    """Have others import these in place of the real modules while the context is open; those that are there stay."""
    new = [module for module in modules if module.__name__ not in sys.modules]
    sys.modules.update({module.__name__: module for module in new})
    try:
        yield
    finally:
        for module in new:
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]


def _import_lean() -> None:
    """Import what brings modules for one thing that a leecher never does, without those.

    `inspect` takes `ast` to look for the source of classes, `email` takes `calendar` for dates in the heads of mails,
    the codec of host names `stringprep` for those that are not ASCII.
    """
    if "inspect" not in sys.modules and sys.version_info < (3, 14):
        with _in_place(_Absent("ast")):
            import inspect
        inspect.ast = _Later("ast")  # type: ignore[attr-defined]
    with _in_place(_Later("calendar"), _Later("stringprep")):
        import email.utils  # noqa: F401 - likewise
        import encodings.idna  # noqa: F401


def _import_http_server() -> None:
    """Import `http.server` without what it takes to serve folders."""
    entities = ModuleType("html.entities")
    entities.html5 = _EntitiesLater()  # type: ignore[attr-defined]
    with _in_place(_Later("shutil"), _Later("mimetypes"), entities):
        import http.server  # noqa: F401


def _share_one_heap() -> None:
    """Have all threads allocate from one heap, where the C library is one that has more."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def settle() -> None:
    """Exempt what has been imported from every later collection, the one at exit included."""
    gc.freeze()


def give_back() -> None:
    """Give the system what of this program's memory is free, once: takes a tenth of a second (malloc_trim(3))."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _find_no_library(_name: str) -> None:
    """Take the place of `ctypes.util.find_library` while trio is imported."""


def import_trio() -> None:
    """Import trio without what a leecher never uses, unless it is there already."""
    if "trio" in sys.modules or "ctypes.util" in sys.modules:
        return
    sys.modules.update({name: _Absent(name) for name in _UNUSED_OF_TRIO})
    search = ModuleType("ctypes.util")
    search.find_library = _find_no_library  # type: ignore[attr-defined]
    ctypes.util = search
    with _in_place(search, _Later("idna"), _Logging("logging")):
        import trio  # noqa: F401 - only now is everything in place
    del ctypes.util
    _import_http_server()


_share_one_heap()
_import_lean()
gc.set_threshold(_COLLECT_AFTER, 20, 100)
