"""Whether plugins do over a root what they are meant to: as the node judges them, and what it cannot see. Pure.

A squashfs is a layer of an overlay; a tar is laid down over all layers, links on the way followed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from seeder.publish.check.finding import Finding, fatal, some
from seeder.publish.check.overlay_words import is_heeded, overlay_word
from seeder.publish.check.readers.tree import Inode, Layer, Tree
from swarmboot.archive import Entry, refusal

_CACHE, _CONFIG = "etc/ld.so.cache", "etc/ld.so.conf.d/"
CAPABILITY = "security.capability"
CAPABLE = f"a file with {CAPABILITY}"
"""What is said of a squashfs that has one: no tool lists whose it is."""
_NO_WHITEOUT = 1
"""A device that is not 0:0: whiteouts are a kind of their own in a `Tree`."""


def check_plugin(plugin: Layer, root: Layer, *, is_layer: bool, allow: tuple[str, ...]) -> list[Finding]:
    """Return what a plugin brings that the node stops for, and what will not be as it was meant.

    `is_layer` says that it is a squashfs; `allow` is what the release allows.
    """
    findings = _check_allowed(plugin, allow, is_layer=is_layer) + _check_attributes(plugin, is_layer=is_layer)
    if is_layer:
        return findings + _check_links(plugin, root) + _check_hidden(plugin, root)
    laid = laid_over(plugin, Tree([root]))
    return findings + _check_whiteouts(plugin) + _check_replaced(laid, root)


def _check_attributes(plugin: Layer, *, is_layer: bool) -> list[Finding]:
    """Return what a plugin says by extended attributes that nodes pass over.

    An overlay that was made without root says by `user.` attributes what it deletes and replaces, and whose a file is.
    """
    passed_over = sorted(
        name for name in plugin.attributes if overlay_word(name) and not (is_layer and is_heeded(name))
    )
    if not passed_over:
        return []
    return [
        fatal(
            f"{plugin.label} says by attributes of an overlay what it deletes or replaces, which nodes pass over",
            expected="character devices 0:0, which take a name away",
            found=some(passed_over),
            hint="take it over by `swarmboot plugin import`, or make it again by `swarmboot plugin make`",
        )
    ]


def _check_allowed(plugin: Layer, allow: tuple[str, ...], *, is_layer: bool) -> list[Finding]:
    special: dict[str, list[str]] = {}
    capable = Entry("", "file", has_capability=is_layer and CAPABILITY in plugin.attributes)
    if word := refusal(capable, allow):
        special[word] = [CAPABLE]
    for path, inode in plugin.inodes.items():
        entry = Entry(path, inode.kind, inode.mode, device=_NO_WHITEOUT, has_capability=inode.has_capability)
        if word := refusal(entry, allow):
            special.setdefault(word, []).append(path)
    return [
        fatal(
            f"{plugin.label} brings what the release does not allow",
            expected="plain files, folders and links",
            found=f"{some(sorted(paths))} ({word})",
            hint=f'take it out, or write allow = ["{word}"] into release.toml',
        )
        for word, paths in special.items()
    ]


def _check_links(plugin: Layer, root: Layer) -> list[Finding]:
    """Return the folders of a layer that hide a link of the root and all that it leads to."""
    return [
        Finding(
            f"{plugin.label} brings /{path} as a folder, where the root has a link to {link.target}",
            expected=f"its files below {link.target}",
            hint="pack it again with its files there",
            is_fatal="/" not in path,
        )
        for path, inode in plugin.inodes.items()
        if inode.kind == "folder" and (link := root.inodes.get(path, inode)).kind == "link"
    ]


def _check_hidden(plugin: Layer, root: Layer) -> list[Finding]:
    hidden = _not_folders(plugin, root)
    if not hidden:
        return []
    return [
        Finding(
            f"{plugin.label} hides folders of the root, and all that is in them, by files or links of their names",
            found=some(hidden),
            hint="pack it again with folders there, if that is not meant",
        )
    ]


def _check_replaced(plugin: Layer, root: Layer) -> list[Finding]:
    replaced = _not_folders(plugin, root)
    if not replaced:
        return []
    return [
        fatal(
            f"{plugin.label} brings files or links where the root has folders, which nodes do not replace",
            found=some(replaced),
            hint="pack it again with folders there",
        )
    ]


def _not_folders(plugin: Layer, root: Layer) -> list[str]:
    """Return what a plugin brings in the place of a folder of the root. A whiteout is meant to take it away."""
    return sorted(
        f"/{path}"
        for path, inode in plugin.inodes.items()
        if inode.kind not in ("folder", "whiteout") and root.inodes.get(path, inode).kind == "folder"
    )


def _check_whiteouts(plugin: Layer) -> list[Finding]:
    named = sorted(path for path in plugin.inodes if posixpath.basename(path).startswith(".wh."))
    if not named:
        return []
    return [
        Finding(
            f"{plugin.label} holds whiteouts by name, as container images have them: nodes lay them down as files",
            expected="character devices 0:0, which take a name away",
            found=some(named),
            hint="pack it again as a squashfs of the overlay's upper folder",
        )
    ]


def check_together(tree: Tree, plugins: Iterable[Layer]) -> list[Finding]:
    """Return what several plugins do to one another: each linker's cache knows its own libraries only.

    The node has the root's ldconfig write one that knows all, if the root has one.
    """
    plugins, ldconfig = list(plugins), tree.resolve("/sbin/ldconfig")
    if ldconfig is not None:
        return []
    caches = [plugin.label for plugin in plugins if plugin.inodes.get(_CACHE, Inode("")).kind == "file"]
    without = [
        plugin.label
        for plugin in plugins
        if _CACHE not in plugin.inodes and any(path.startswith(_CONFIG) for path in plugin.inodes)
    ]
    if len(caches) < 2 and not without:
        return []
    found = f"/{_CACHE} in {some(caches)}" if len(caches) > 1 else f"/{_CONFIG} without it in {some(without)}"
    return [
        Finding(
            "libraries of plugins will not be found by name: the last /etc/ld.so.cache hides the others",
            expected="a root with /sbin/ldconfig, which then writes one that knows all",
            found=found,
            hint="add it to the root, or pack these plugins as one",
        )
    ]


def laid_over(plugin: Layer, below: Tree) -> Layer:
    """Return a tar plugin as a layer: its names where the links of what is below lead to."""
    places: dict[str, str] = {}

    def place(path: str) -> str:
        folder, name = posixpath.split(path)
        if not path or path in places:
            return places.get(path, "")
        at = posixpath.join(place(folder), name)
        real = below.resolve(at)
        places[path] = real if real is not None and _is_folder(below, real) else at
        return places[path]

    moved: dict[str, str] = {}
    inodes: dict[str, Inode] = {}
    for path, inode in plugin.inodes.items():
        folder, name = posixpath.split(path)
        at = place(path) if inode.kind == "folder" else posixpath.join(place(folder), name)
        inodes[at], moved[at] = inode, path
    return Layer(plugin.label, inodes, lambda path: plugin.program(moved[path]), lambda path: plugin.text(moved[path]))


def _is_folder(tree: Tree, path: str) -> bool:
    found = tree.find(path)
    return path == "" or (found is not None and found[1].kind == "folder")
