"""Where a build mounts what a script expects of a running system, in a root image of any shape. Pure.

Links are followed as in that root, for a mount over one that leads elsewhere would lie outside of it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from seeder.publish.check.readers.tree import Inode

_LINKS_MAX = 40
_FOLDERS = ("proc", "sys", "dev", "run", "tmp", "mnt")
_RESOLVER, _POLICY = "etc/resolv.conf", "usr/sbin/policy-rc.d"


def landing(inodes: Mapping[str, Inode], path: str, *, links: int = _LINKS_MAX) -> str:
    """Return where a path leads in a root, its last name too, whether or not anything is there; "" in a circle."""
    folder, name = posixpath.split(path.strip("/"))
    at = posixpath.join(landing(inodes, folder, links=links), name) if folder else name
    inode = inodes.get(at)
    if inode is None or inode.kind != "link":
        return at
    if links == 0:
        return ""
    target = inode.target if inode.target.startswith("/") else posixpath.join("/", posixpath.dirname(at), inode.target)
    return landing(inodes, posixpath.normpath(target), links=links - 1)


@dataclass(frozen=True, slots=True)
class Places:
    """Paths in the root: where folders are mounted by what for, and files; what of them is not there yet."""

    folders: Mapping[str, str]
    resolver: str
    policy: str
    missing_folders: tuple[str, ...]
    missing_files: tuple[str, ...]

    @property
    def own(self) -> frozenset[str]:
        """Return what the build itself puts into the root, and the folders around it."""
        paths = (*self.missing_folders, *self.missing_files)
        return frozenset(parent for path in paths for parent in _with_parents(path))

    @property
    def is_resolver_passing(self) -> bool:
        """Return whether the list of name servers lies in a folder that is mounted, as under /run."""
        return any(self.resolver.startswith(f"{path}/") for path in self.folders.values())


def _with_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = posixpath.dirname(path)


def places(inodes: Mapping[str, Inode]) -> Places:
    """Return where a build mounts what, in a root that holds `inodes`."""
    folders = {name: landing(inodes, name) or name for name in _FOLDERS}
    if inodes.get(landing(inodes, "var/tmp"), Inode("")).kind == "folder":
        folders["var/tmp"] = landing(inodes, "var/tmp")
    resolver, policy = landing(inodes, _RESOLVER), landing(inodes, _POLICY)
    mounted = tuple(folders.values())
    files = [path for path in (resolver, policy) if path and path not in inodes]
    missing = tuple(path for path in files if not path.startswith(tuple(f"{each}/" for each in mounted)))
    return Places(folders, resolver, policy, tuple(path for path in mounted if path not in inodes), missing)


def kernel_of(inodes: Mapping[str, Inode]) -> str:
    """Return the version of the one kernel whose modules a root holds; nothing if there are none, or several."""
    folder = landing(inodes, "lib/modules")
    versions = {path.removeprefix(f"{folder}/").split("/")[0] for path in inodes if path.startswith(f"{folder}/")}
    return versions.pop() if len(versions) == 1 else ""
