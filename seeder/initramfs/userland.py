"""Makes the programs of an unpacked dracut initramfs fewer: busybox in the place of many, no library that none links.

dracut brings bash, the GNU programs and, on Debian 12, a message bus; a boot from the network needs none of these. It
will not touch modules, firmware or systemd (`lean`, docs/decisions/0076).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from seeder.initramfs.links import found
from seeder.initramfs.programs import (
    BUSYBOX,
    has_networkd_alone,
    is_spare_library,
    libraries_named,
    replaced,
    spare,
    spare_libraries,
    wants_bash,
)
from seeder.initramfs.tree import Unpacked
from swarmboot.archive import Entry
from swarmboot.errors import ResourceError
from swarmboot.host.programs import run_program

_BOUND_S = 120
_HEAD_BYTES = 64
_ELF = b"\x7fELF"
_LIBRARY = re.compile(r"(?:.+/)?(?:lib|ld)[^/]*\.so(?:\.[^/]+)*")
_BORROWED = "usr/lib/swarmboot/runtime.libraries"
_BASH = "usr/bin/bash"
_BASH_TEXT = '#!/bin/sh\n# No bash is in here, and no script that asks more of it than sh has.\nexec /bin/sh "$@"\n'


def slim(unpacked: Unpacked) -> None:
    """Leave out programs and libraries of an initramfs by dracut; raise ResourceError if these cannot be read.

    One whose network is not systemd-networkd's stays as it is; where there is no busybox in it, its programs stay.
    """
    names = {name for name, entry in unpacked.entries.items() if entry.kind != "folder"}
    if not has_networkd_alone(names):
        return
    heads = {name: _head(unpacked, name) for name in names if unpacked.entries[name].kind != "link"}
    is_bash_wanted = any(wants_bash(name, head) for name, head in heads.items())
    applets = _applets() if BUSYBOX in names else ()
    links = _links(unpacked, {name for name, head in heads.items() if head.startswith(_ELF)})
    out = spare(names)
    instead = _under_no_other_name(unpacked, names, replaced(names - out, applets, is_bash_wanted=is_bash_wanted))
    libraries = spare_libraries(links, (instead | out) & links.keys(), _borrowed(unpacked))
    for name in out | libraries | _links_to(unpacked, names, libraries):
        unpacked.forget(name)
    for name in instead:
        unpacked.forget(name)
        if name == _BASH:
            _put_text(unpacked, name, _BASH_TEXT)
        else:
            _put_link(unpacked, name, f"/{BUSYBOX}")


def _head(unpacked: Unpacked, name: str) -> bytes:
    path = unpacked.path(name)
    if not path.is_file() or path.is_symlink():
        return b""
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _applets() -> tuple[str, ...]:
    """Return what busybox is, by its own word: the one in the initramfs is this machine's."""
    if not shutil.which("busybox"):
        return ()
    return tuple(run_program(("busybox", "--list"), bound_s=_BOUND_S, failure=ResourceError).split())


def _links(unpacked: Unpacked, files: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return programs and libraries, each with the libraries that it links, as readelf(1) has it, or opens by name."""
    listed = sorted(name for name in files if not name.endswith(".ko"))
    if not listed:
        return {}
    real: dict[str, str] = {}
    for name in unpacked.entries:
        if _LIBRARY.fullmatch(name) and (path := found(unpacked.tree, name)):
            real[name.rpartition("/")[2]] = str(path.relative_to(unpacked.tree))
    paths = {str(unpacked.path(name)): name for name in listed}
    said = run_program(("readelf", "-W", "-d", *paths), bound_s=_BOUND_S, failure=ResourceError)
    needs: dict[str, list[str]] = {name: [] for name in listed}
    at = listed[0]
    for line in said.splitlines():
        if line.startswith("File: "):
            at = paths[line.removeprefix("File: ")]
        elif asked := re.search(r"\(NEEDED\).*\[(.+)\]", line):
            needs[at] += [real[asked[1]]] if asked[1] in real else []
    for name in listed:
        opened = (real[each] for each in libraries_named(unpacked.path(name).read_bytes()) if each in real)
        needs[name] += [library for library in opened if not is_spare_library(library)]
    return {name: tuple(others) for name, others in needs.items()}


def _borrowed(unpacked: Unpacked) -> frozenset[str]:
    """Return the libraries that the runtime has of the initramfs."""
    path = found(unpacked.tree, _BORROWED)
    names = path.read_text().split() if path is not None and path.is_file() else ()
    places = (found(unpacked.tree, name) for name in names)
    return frozenset(str(place.relative_to(unpacked.tree)) for place in places if place is not None)


def _under_no_other_name(unpacked: Unpacked, names: Iterable[str], programs: Collection[str]) -> frozenset[str]:
    """Return those of the programs to which no link leads that has a name of its own: busybox goes by its name."""
    others = (name for name in names if unpacked.entries[name].kind == "link" and name not in programs)
    places = {found(unpacked.tree, name) for name in others}
    return frozenset(name for name in programs if unpacked.path(name) not in places)


def _links_to(unpacked: Unpacked, names: Iterable[str], libraries: Collection[str]) -> set[str]:
    """Return the links that lead to these libraries."""
    places = {unpacked.path(name) for name in libraries}
    linked = (name for name in names if unpacked.entries[name].kind == "link")
    return {name for name in linked if found(unpacked.tree, name) in places}


def _put_text(unpacked: Unpacked, name: str, text: str) -> None:
    path = unpacked.folder / "text"
    path.write_text(text)
    unpacked.put(name, path)
    unpacked.entries[name] = replace(unpacked.entries[name], mode=0o755)


def _put_link(unpacked: Unpacked, name: str, target: str) -> None:
    path: Path = unpacked.path(name)
    path.symlink_to(target)
    unpacked.entries[name] = Entry(name, "link", 0o777, target=target)
