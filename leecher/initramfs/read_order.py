"""Prints the files that a node's leecher reads, in that order: `python -m leecher.initramfs.read_order`.

Run in the finished tree when a runtime image is built, as the self-test is, never on a node. It loads what a node loads
and has importlib's own audit events say which files those are (PEP 578: `open` for byte code, `import` for an extension
module). A path a line, links followed. The same tree gives the same list: what has no order of its own is sorted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator


def in_order(loaded: Iterable[object], late: Iterable[object], mapped: Iterable[object]) -> Iterator[str]:
    """Yield the files among these, each once: those that are loaded one after the other as they came; then what several
    threads load, and libraries that come with an extension module, sorted by name.

    What is no absolute path, as file descriptors and built-in modules, is passed over.
    """
    seen = set[str]()
    for path in (*_paths(loaded), *sorted(_paths(late)), *sorted(_paths(mapped))):
        if path not in seen:
            seen.add(path)
            yield path


def _paths(names: Iterable[object]) -> Iterator[str]:
    return (os.path.realpath(name) for name in names if isinstance(name, str) and name.startswith("/"))


def main() -> None:
    """Load what a node loads, and print what that was."""
    before = [getattr(module.__spec__, "origin", None) for module in sys.modules.values()]
    opened: list[object] = []
    sys.addaudithook(
        lambda event, arguments: opened.append(arguments[event == "import"]) if event in ("open", "import") else None
    )
    import leecher.initramfs.__main__
    from leecher.machine import lean_start

    lean_start.import_trio()
    import leecher.boot.run
    import leecher.initramfs.node_files
    import leecher.initramfs.own_files
    import leecher.initramfs.root
    import leecher.initramfs.storage  # noqa: F401

    loaded = [*before, *opened]
    from leecher.initramfs.selftest import check_neighbours, check_signatures, check_tls

    for check in (check_signatures, check_tls, check_neighbours):  # the last two have a server in a thread
        check()
    with open("/proc/self/maps", encoding="utf-8") as maps:  # noqa: PTH123 - pathlib is not to be loaded before the node's
        mapped = [line.split(maxsplit=5)[-1].rstrip("\n") for line in maps]
    print("\n".join(in_order(loaded, opened, mapped)))


if __name__ == "__main__":
    main()
