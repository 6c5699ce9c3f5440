"""Takes a live image over into a release directory.

vmlinuz, rootfs.squashfs, release.toml      as in the image
plugins/NN-*.squashfs                       further images of its root, in live-boot's order
plugins/90-live-medium.squashfs             what live-boot would have left for live-config (`seeder.live.medium_layer`)
.live/lib/modules/, .live/boot/             what `hook build-initramfs --modules` takes,
.live/lib/firmware/                         with the firmware of the root's drivers of network cards
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from seeder.initramfs.kernel import read_kernel
from seeder.live.firmware import firmware_wanted
from seeder.live.image import LiveImage
from seeder.live.medium import Medium
from seeder.live.medium_layer import NAME, layer_entries
from seeder.squashfs.reader import Squashfs, read_squashfs
from seeder.takeover.directory import Adopted, Directory, beside, remembered
from seeder.takeover.merging import drop_links_out, move_over
from seeder.takeover.root_image import write_root_image
from swarmboot import __version__
from swarmboot.errors import ReleaseError, ResourceError, ToolMissingError
from swarmboot.host.programs import run_program

PARTS = ".live"
_FORMAT = 1
_UNPACK_S = 600
_MODULES = re.compile(rb"(?:usr/)?lib/modules/[^/]+\Z")
_ALLOW = ("devices", "setuid")
"""What the images of a root hold beyond plain files: they are one root, taken apart."""
_SUFFIX = re.compile(r"(?:\.hybrid)?(?:\.netboot)?(?:\.iso|\.tar|\.tar\.[a-z0-9]+)?\Z", re.IGNORECASE)
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9._+-]+")


def adopt(medium: Medium, image: LiveImage, out: Path, *, name: str, say: Callable[[str], None]) -> Adopted:
    """Make the release directory `out` of a medium's image, still without an initramfs.

    Raises ReleaseError for what cannot be read, ResourceError or ToolMissingError if a step cannot be done, and
    UnreadableError if `out` was not made here, or would be made anew and holds what somebody has put there.
    """
    facts = f"{_FORMAT} {__version__} {name} {image!r} {medium.digest(image.used)}"
    directory = Directory(out, PARTS, "put them elsewhere, or choose another with --out")
    is_new, made = directory.made_of(
        hashlib.sha256(facts.encode(errors="replace")).hexdigest(),
        lambda release: _make(medium, image, release, name, say),
    )
    return Adopted(out, is_new, str(made["kernel"]), tuple(remembered(made, "plugins")), image.lost, PARTS)


def _make(medium: Medium, image: LiveImage, release: Path, name: str, say: Callable[[str], None]) -> dict[str, object]:
    """Make the release; return its plugins, and which kernel it is for."""
    plugins = release / "plugins"
    plugins.mkdir()
    kernel, root = release / "vmlinuz", release / "rootfs.squashfs"
    uppers = {path: plugins / f"{number:02}-{Path(path).name}" for number, path in enumerate(image.images[1:], 1)}
    with tempfile.TemporaryDirectory(prefix=".swarmboot-live.", dir=release) as work:
        config = {path: Path(work, at) for at, path in image.config.items()}
        say(f"reading {medium.label}")
        medium.write({image.kernel: kernel, image.images[0]: root, **uppers, **config, **_own_settings(image, release)})
        images = [(root, image.images[0]), *((path, label) for label, path in uppers.items())]
        layers = [read_squashfs(path, label=label) for path, label in images]
        version = _take_modules(medium, image, [path for path, _ in images], layers, release)
        nodes = {path: inode for layer in layers for path, inode in layer.nodes.items()}
        entries = layer_entries(nodes, {at: Path(work, at) for at in image.config})
        made_s = layers[0].superblock.made_unix_s
        write_root_image(entries, plugins / NAME, changed={}, newest_s=made_s, label=NAME)
    if not image.release_toml:
        (release / "release.toml").write_text(_settings(image, name))
    return {"kernel": version, "plugins": [*(path.name for path in uppers.values()), NAME]}


def _own_settings(image: LiveImage, release: Path) -> dict[str, Path]:
    return {image.release_toml: release / "release.toml"} if image.release_toml else {}


def _settings(image: LiveImage, name: str) -> str:
    lines = [f"name = {json.dumps(name)}", f"cmdline = {json.dumps(' '.join(image.arguments))}"]
    return "\n".join([*lines, *([f"allow = {json.dumps(_ALLOW)}"] if image.images[1:] else [])]) + "\n"


def _take_modules(medium: Medium, image: LiveImage, images: list[Path], layers: list[Squashfs], release: Path) -> str:
    """Unpack the kernel's modules and configuration into the release's hidden folder; return the kernel's version."""
    version = read_kernel(release / "vmlinuz", label=image.kernel).version
    found = {
        path.rpartition(b"/")[2].decode(errors="replace"): (number, path.decode(errors="replace"))
        for number, layer in enumerate(layers)
        for path, inode in layer.nodes.items()
        if _MODULES.match(path) and inode.kind == "folder"
    }
    if not version and len(found) == 1:
        version = next(iter(found))
    if version not in found:
        raise ReleaseError(
            f"{medium.label} has no modules of its kernel {image.kernel}",
            expected=f"lib/modules/{version or 'of one version'} in {image.images[0]}",
            found=", ".join(sorted(found)) or "none",
            hint="take kernel and root of the same build",
        )
    number, path = found[version]
    parts = release / PARTS
    _unpack(images[number], [path, f"boot/config-{version}"], parts)
    for file, layer in zip(images, layers, strict=True):
        if wanted := firmware_wanted(parts / path, layer.nodes):
            _unpack(file, wanted, parts)
    if (parts / "usr").is_dir():  # of a root whose /lib is a link
        move_over(parts / "usr", parts)
    drop_links_out(parts)
    return version


def _unpack(image: Path, names: Sequence[str], to: Path) -> None:
    """Unpack folders and files of a squashfs into a folder; names that it has not are passed over.

    Each into an empty one first: unsquashfs follows the links that another image has left in its way.
    """
    if not shutil.which("unsquashfs"):
        raise ToolMissingError("unsquashfs is not installed", hint="install the package squashfs-tools")
    with tempfile.TemporaryDirectory(prefix=".swarmboot-parts.", dir=to.parent) as work:
        new = Path(work, "new")
        command = ("unsquashfs", "-quiet", "-no-progress", "-no-xattrs", "-no-wildcards", "-dest", str(new))
        run_program((*command, str(image), *names), bound_s=_UNPACK_S, failure=ResourceError)
        if new.is_dir():
            move_over(new, to)


def name_of(path: Path) -> str:
    """Return what a release is called that is made of this file or folder."""
    stem = path.resolve().name if path.is_dir() else _SUFFIX.sub("", path.name)
    return _UNNAMEABLE.sub("-", stem).strip("-.") or "debian-live"


def default_out(path: Path) -> Path:
    """Return where a release goes if that is not said: beside the file or folder it is made of."""
    name = path.resolve().name
    return beside(path, f"{name if path.is_dir() else _SUFFIX.sub('', name)}.release")
