"""What a live image holds, by the names in its medium: kernel, images of the root, what live-config reads. Pure.

    debian-live/live/filesystem.squashfs    tftpboot/live/vmlinuz    tftpboot/live.cfg            *.netboot.tar
    binary/live/filesystem.squashfs         tftpboot/live/vmlinuz                                 the folder of lb build
    live/filesystem.squashfs                live/vmlinuz-VERSION     isolinux/, boot/grub/        an ISO
    filesystem.squashfs                     vmlinuz-VERSION                                       its live/ alone

Which images make up the root, and in which order, is as live-boot has it (lib/live/boot/9990-overlay.sh): those that
`filesystem.module` lists, or all of them by name; the last one lies on top.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from seeder.live import arguments
from seeder.live.boot_menu import BootEntry, default_entry, foreign_boot
from swarmboot.errors import NoRootImageError, ReleaseError
from swarmboot.release.manifest import is_safe_name

_LIVE = "live"
_MAIN = "filesystem.squashfs"
_KERNELS = ("vmlinuz", "vmlinux")
_OTHER_IMAGES = (".ext2", ".ext3", ".ext4", ".xfs", ".jffs2", ".dir")
_CONFIG = re.compile(r"config(?:\.conf\Z|\.conf\.d/|-hooks/|-preseed/)")
"""What live-config reads of the medium (lib/live/init-config.sh, config/0010-debconf, config/9990-hooks)."""
_QUIET = re.compile(
    r"(?:.*/)?(?:\.disk/.*|(?:md5|sha\d+)sum.*|(?:MD5|SHA\d+)SUMS.*|README.*|autorun.inf|.*\.contents|.*\.files|.*\.packages"
    r"|.*\.packages-remove|.*\.size|.*\.manifest.*|.*\.module|.*_timestamps|\.build/.*|\.lock|boot\.catalog|boot\.cat)\Z"
)
"""What tells of the image or of its build, and is read by no boot."""
_SHOWN = 4
_LOADER = "a loader and its menu: `swarmboot serve --pxe` brings iPXE"
_LOST = (
    (re.compile(r"(?:.*/)?initrd[^/]*\Z"), "swarmboot's own initramfs takes its place"),
    (re.compile(r"(?:.*/)?vmlinu[xz][^/]*\Z"), "not the kernel that is started"),
    (re.compile(r"(?:.*/)?(?:isolinux|syslinux|extlinux|grub|EFI|efi|boot|pxelinux\.cfg|tftpboot)/"), _LOADER),
    (re.compile(r"(?:.*/)?[^/]*(?:pxelinux\.0|\.c32|\.cfg|\.bin|splash[^/]*|efi\.img)\Z"), _LOADER),
    (re.compile(r"(?:.*/)?(?:install|d-i|pool|dists)[^/]*/"), "the installer and its packages"),
    (re.compile(r".*\.(?:verity|fec|roothash|roots|p7s)"), "the signed manifest pins every byte"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LiveImage:
    """A live image. All files are named by their paths in its medium, the images of the root from the bottom up.

    `config` are files for live-config by where they lie below the medium's `live/`. `lost` is a line for each thing
    that is not taken over.
    """

    kernel: str
    images: tuple[str, ...]
    arguments: tuple[str, ...]
    config: Mapping[str, str]
    release_toml: str = ""
    lost: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[str, ...]:
        """Return all files that a release is made of."""
        own = (self.release_toml,) if self.release_toml else ()
        return (self.kernel, *self.images, *self.config.values(), *own)


def find_image(names: Mapping[str, int], texts: Mapping[str, str], *, label: str) -> LiveImage:
    """Return what a medium holds, from its files' sizes in bytes and its texts.

    Raises NoRootImageError without an image of the root, and ReleaseError for what cannot be booted by its own menu, or
    must not be taken over half.
    """
    entry = default_entry(texts)
    words = tuple(entry.arguments) if entry else arguments.DEFAULT
    folder = _root_folder(names, texts, words, label)
    images = _images(names, texts, folder, _value(words, "module") or "filesystem", label)
    kernel = _kernel(names, entry, folder, label)
    own = next((name for name in ("release.toml", f"{folder}/release.toml".lstrip("/")) if name in texts), "")
    taken = arguments.NONE if own else arguments.take_over(words, label=entry.menu if entry else label)
    config = {
        name.removeprefix(folder).lstrip("/"): name
        for name in names
        if name.startswith(folder) and _CONFIG.match(name.removeprefix(folder).lstrip("/"))
    }
    image = LiveImage(kernel, images, taken.kept, config, own)
    used = {name for name in names if name in image.used or _is_same(names, name, kernel)}
    return LiveImage(kernel, images, taken.kept, config, own, (*taken.lost, *_left(names, used)))


def _is_live_folder(folder: str, base: str) -> bool:
    """Return whether a live folder may lie there: at the top, one folder down, or what was given itself."""
    return folder == "" or (posixpath.basename(folder) == base and folder.count("/") <= 1)


def _root_folder(names: Mapping[str, int], texts: Mapping[str, str], words: tuple[str, ...], label: str) -> str:
    base = posixpath.basename((_value(words, "live-media-path") or _LIVE).rstrip("/"))
    found = sorted(
        {
            posixpath.dirname(name)
            for name in names
            if name.endswith((".squashfs", *_OTHER_IMAGES)) and _is_live_folder(posixpath.dirname(name), base)
        }
    )
    if len(found) == 1:
        return found[0]
    if found:
        raise ReleaseError(
            f"{label} holds more than one live image", expected="one folder live/ with *.squashfs",
            found=", ".join(f"{folder or '.'}/" for folder in found), hint="publish one of them: its folder",
        )  # fmt: skip
    foreign = foreign_boot(texts)
    raise NoRootImageError(
        f"{label} is no Debian Live image",
        expected="live/filesystem.squashfs, as live-build makes it",
        found=f"{foreign}, another way of booting" if foreign else _some(names),
        hint="publish the squashfs of its root as rootfs.squashfs in a release directory (docs/release.md)",
    )


def _images(
    names: Mapping[str, int], texts: Mapping[str, str], folder: str, module: str, label: str
) -> tuple[str, ...]:
    prefix = f"{folder}/" if folder else ""
    listed = next(
        (name for name in (f"{prefix}filesystem.{module}.module", f"{prefix}{module}.module") if name in texts), ""
    )
    if listed:
        images = tuple(f"{prefix}{word}" for word in texts[listed].split())
    else:
        inner = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
        images = tuple(
            f"{prefix}{name}"
            for name in sorted(inner, key=str.encode)
            if "/" not in name and name.endswith((".squashfs", *_OTHER_IMAGES))
        )
    if missing := [name for name in images if name not in names]:
        raise NoRootImageError(f"{label} lacks an image of its root", expected=f"{missing[0]}, as {listed} says")
    if others := [name for name in images if not name.endswith(".squashfs")]:
        raise ReleaseError(
            f"{label} has an image of its root that is no squashfs", expected=_MAIN, found=others[0],
            hint="build it with --chroot-filesystem squashfs",
        )  # fmt: skip
    if unsafe := [name for name in images if not is_safe_name(posixpath.basename(name))]:
        raise ReleaseError(f"{label} has an image whose name cannot be published", found=repr(unsafe[0]))
    if not images:
        raise NoRootImageError(f"{label} has no image of its root", expected=_MAIN, found=f"an empty {listed}")
    return images


def _kernel(names: Mapping[str, int], entry: BootEntry | None, folder: str, label: str) -> str:
    """Return the kernel that the menu starts; without a menu, `vmlinuz`, or the only one there is."""
    if entry is not None:
        wanted = posixpath.normpath(entry.kernel).lstrip("/")
        if found := sorted((name for name in names if name == wanted or name.endswith(f"/{wanted}")), key=len):
            return found[0]
    kernels = sorted(
        name
        for name in names
        if posixpath.basename(name).startswith(_KERNELS) and _is_live_folder(posixpath.dirname(name), _LIVE)
    )
    plain = [name for name in kernels if posixpath.basename(name) in _KERNELS]
    found = plain or kernels
    if len(found) == 1:
        return found[0]
    raise ReleaseError(
        f"{label} does not say which kernel it boots" if found else f"{label} holds no kernel",
        expected="live/vmlinuz, one live/vmlinuz-VERSION, or a menu that starts one of them",
        found=", ".join(found) or (f"none beside {folder or 'the root'}" if entry is None else entry.kernel),
        hint="keep the one that is to be booted" if found else "publish the whole image, with tftpboot/ or live/",
    )


def _value(words: tuple[str, ...], name: str) -> str:
    return next((word.partition("=")[2] for word in reversed(words) if word.startswith(f"{name}=")), "")


def _is_same(names: Mapping[str, int], name: str, kernel: str) -> bool:
    """Return whether a file is the kernel by its other name: live-build links vmlinuz to vmlinuz-VERSION."""
    return posixpath.basename(name).startswith(_KERNELS) and names[name] == names[kernel]


def _left(names: Mapping[str, int], used: set[str]) -> list[str]:
    """Return a line for each reason why files were not taken, with the files, or folders that nothing was taken of."""
    lines: dict[str, list[str]] = {}
    for name in sorted(names):
        if name in used or _QUIET.match(name):
            continue
        why = next((why for pattern, why in _LOST if pattern.match(name)), "nothing here stands for it")
        parts = name.split("/")
        tops = ["/".join(parts[:depth]) + "/" for depth in range(1, len(parts))]
        shown = next((top for top in tops if not any(other.startswith(top) for other in used)), name)
        if shown not in lines.setdefault(why, []):
            lines[why].append(shown)
    return [f"{_listed(shown)}: {why}" for why, shown in lines.items()]


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return f"{', '.join(names[:_SHOWN])} and {more} more" if more > 1 else ", ".join(names)


def _some(names: Mapping[str, int]) -> str:
    tops = sorted({name.split("/")[0] + ("/" if "/" in name else "") for name in names})
    return (", ".join(tops[:6]) + (", ..." if len(tops) > 6 else "")) or "nothing"
