"""Looks at all of a release and says all that it found at once. It reads the release's files and changes nothing.

Kernel and initramfs are read beside the images, in a thread: unpacking leaves Python's lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from seeder.boot_script.kernel_cmdline import uncarried
from seeder.initramfs.kernel import Kernel, read_kernel, read_sections
from seeder.publish.check.finding import Finding, fatal, some
from seeder.publish.check.memory import Boot
from seeder.publish.check.names import check_names, check_pair
from seeder.publish.check.plugins import check_plugin, check_together, laid_over
from seeder.publish.check.readers.images import Image, is_watched, read_image
from seeder.publish.check.readers.initramfs import Initramfs, read_initramfs
from seeder.publish.check.readers.tree import Inode, Layer, Tree
from seeder.publish.check.root import check_init, check_leftovers, init_of
from seeder.publish.check.stage0 import (
    Signing,
    check_initramfs,
    check_kernel,
    check_machine,
    check_modules,
    check_storage,
    check_unpackers,
    check_versions,
    check_weight,
    check_zram,
)
from seeder.publish.release_dir import Release, ReleaseFile
from seeder.site.writer import SourceFile, source_file
from seeder.squashfs.attributes import attribute_names
from swarmboot.errors import ReleaseError, ResourceError, SwarmbootError
from swarmboot.release.manifest import UNIFIED, Role

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found; `counted` is what archives take unpacked, `boot` what a boot takes where stage 0 is whole."""

    findings: tuple[Finding, ...]
    counted: Mapping[SourceFile, int] = field(default_factory=dict)
    boot: Boot | None = None

    @property
    def fatal(self) -> tuple[Finding, ...]:
        """Return why no machine can boot the release."""
        return tuple(finding for finding in self.findings if finding.is_fatal)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """Return what costs nothing."""
        return tuple(finding for finding in self.findings if not finding.is_fatal)


@dataclass(slots=True)
class _Seen:
    """What was read, what was wrong with it, and what could not be looked at, by the reason."""

    findings: list[Finding] = field(default_factory=list)
    unseen: dict[str, list[str]] = field(default_factory=dict)
    counted: dict[SourceFile, int] = field(default_factory=dict)

    def read(self, label: str, reader: Callable[[], T]) -> T | None:
        """Return what a reader returns, None with a finding if it cannot."""
        try:
            return reader()
        except ResourceError as error:
            self.unseen.setdefault(str(error), []).append(label)
        except ReleaseError as error:
            self.findings.append(fatal(error.what, expected=error.expected, found=error.found, hint=error.hint))
        return None

    def image(self, file: ReleaseFile, is_kept: Callable[[str, Inode], bool] = is_watched) -> Layer | None:
        """Return what a root image or a plugin holds."""
        source = source_file(file.path, label=file.label)
        image: Image | None = self.read(file.label, lambda: read_image(file, is_kept=is_kept))
        if image is None:
            return None
        if image.unpacked_bytes:
            self.counted[source] = image.unpacked_bytes
        if file.role is Role.PLUGIN and file.format == "squashfs":
            names = self.read(file.label, lambda: attribute_names(file.path, label=file.label))
            return replace(image.layer, attributes=names or frozenset())
        return image.layer

    def all(self) -> list[Finding]:
        """Return the findings, with a note for what was not looked at."""
        notes = [Finding(f"{some(labels)} was not looked into: {why}") for why, labels in self.unseen.items()]
        return [*self.findings, *notes]


class _Beside(Generic[T]):
    """Work in a thread of its own, which does not hold up a program that is interrupted."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._future: Future[T] = Future()
        self._work = work
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._work())
        except (SwarmbootError, OSError) as error:
            self._future.set_exception(error)
        finally:
            self._future.cancel()  # without effect on one that has ended

    def result(self) -> T:
        """Return what the work returns, or raise what it raises."""
        return self._future.result()


def look(release: Release, signing: Signing | None) -> Looked:
    """Return all that is found in a release. `signing` is None where it is not known what signs it."""
    by_role = {role: [file for file in release.files if file.role is role] for role in Role}
    stage0, images = _Seen(), _Seen()
    parts = _Beside(lambda: _stage0_parts(stage0, by_role[Role.KERNEL], by_role[Role.INITRAMFS]))
    root, plugins = _layers(images, by_role[Role.ROOT][0], by_role[Role.PLUGIN])
    kernel, initramfs = parts.result()
    said = uncarried(release.name, release.settings.cmdline, release.settings.profiles)
    findings = [fatal(each.what, expected=each.expected, found=each.found, hint=each.hint) for each in said]
    findings += [*stage0.all(), *_stage0_findings(kernel, initramfs, signing, release)]
    findings += [*images.all(), *_root_findings(release, root, plugins, kernel)]
    findings += check_names(release.names, {file.label for file in release.files}, release.notes)
    return Looked(tuple(dict.fromkeys(findings)), images.counted, _boot(kernel, initramfs, by_role[Role.INITRAMFS]))


def _stage0_parts(
    seen: _Seen, kernels: list[ReleaseFile], initramfs: list[ReleaseFile]
) -> tuple[Kernel | None, Initramfs | None]:
    """Return the kernel and the initramfs, wherever they are."""
    if kernels and kernels[0].format == UNIFIED:
        return _unified_parts(seen, kernels[0])
    kernel = (
        seen.read(kernels[0].label, lambda: read_kernel(kernels[0].path, label=kernels[0].label)) if kernels else None
    )
    if not initramfs:
        return kernel, None
    file = initramfs[0]
    return kernel, seen.read(file.label, lambda: read_initramfs(file.path, label=file.label))


def _unified_parts(seen: _Seen, file: ReleaseFile) -> tuple[Kernel | None, Initramfs | None]:
    sections = read_sections(file.path)
    linux, initrd = sections.get(".linux"), sections.get(".initrd")
    if linux is None or initrd is None:
        seen.findings.append(
            fatal(
                f"{file.label} is no unified kernel image",
                expected="an EFI program with the sections .linux and .initrd",
                found=", ".join(sections) or "no EFI program",
                hint="make it with ukify, or publish vmlinuz and initramfs.img",
            )
        )
        return None, None
    kernel = seen.read(file.label, lambda: read_kernel(file.path, label=f"{file.label}: .linux", start=linux.start))
    place = {"start": initrd.start, "size_bytes": initrd.size_bytes}
    return kernel, seen.read(file.label, lambda: read_initramfs(file.path, label=f"{file.label}: .initrd", **place))


def _layers(
    seen: _Seen, root_file: ReleaseFile, plugin_files: Iterable[ReleaseFile]
) -> tuple[Layer | None, dict[ReleaseFile, Layer]]:
    root = seen.image(root_file)
    inodes: Mapping[str, Inode] = root.inodes if root is not None else {}

    def is_kept(path: str, inode: Inode) -> bool:
        return is_watched(path, inode) or path in inodes or path.rpartition("/")[2].startswith(".wh.")

    read = ((file, seen.image(file, is_kept)) for file in plugin_files)
    return root, {file: layer for file, layer in read if layer is not None}


def _stage0_findings(
    kernel: Kernel | None, initramfs: Initramfs | None, signing: Signing | None, release: Release
) -> Iterator[Finding]:
    labels = {file.role: file.label for file in release.files if file.role in (Role.KERNEL, Role.INITRAMFS)}
    formats = {file.format for file in release.files}
    if UNIFIED not in formats:
        yield from check_pair(Role.KERNEL in labels, Role.INITRAMFS in labels)
    if kernel is not None:
        yield from check_kernel(kernel, label=labels[Role.KERNEL])
    if initramfs is None:
        return
    label = labels.get(Role.INITRAMFS, labels.get(Role.KERNEL, ""))
    yield from check_initramfs(initramfs, signing, label=label)
    packed = [file.label for file in release.files if file.format.endswith(".zst")]
    yield from check_unpackers(initramfs, packed, label=label)
    yield from check_storage(initramfs, release.settings.storage, label=label)
    own = release.settings.cmdline
    cmdlines = (own, *(f"{own} {profile.cmdline}" for profile in release.settings.profiles))
    yield from check_zram(initramfs, cmdlines, label=label)
    sizes = (file.size_bytes for file in release.files if file.role is Role.INITRAMFS)
    yield from check_weight(initramfs, next(sizes, 0), label=label)
    if kernel is not None:
        yield from check_versions(kernel, initramfs, label=label)
        yield from check_machine(kernel, initramfs, label=label)


def _root_findings(
    release: Release, root: Layer | None, plugins: Mapping[ReleaseFile, Layer], kernel: Kernel | None
) -> list[Finding]:
    """Return what is to say of the root image, of each plugin over it, and of what nodes of each profile stack."""
    base = root or Layer("", {})
    found = {
        file: check_plugin(layer, base, is_layer=file.format == "squashfs", allow=release.settings.allow)
        for file, layer in plugins.items()
    }
    findings = [finding for each in found.values() for finding in each]
    if root is None:
        return findings
    findings += check_leftovers(root)
    sound = {file: layer for file, layer in plugins.items() if not any(finding.is_fatal for finding in found[file])}
    for profile, cmdline, names in _selections(release):
        chosen = {file: layer for file, layer in sound.items() if names is None or file.name in names}
        tree = _stacked(root, chosen)
        said = check_init(tree, root, cmdline=cmdline, machine=kernel.machine if kernel else "")
        said += check_together(tree, chosen.values())
        if kernel is not None:
            versions = sorted({*tree.folder_names("usr/lib/modules"), *tree.folder_names("lib/modules")})
            said += check_modules(kernel, versions, root=root.label)
        findings += [
            replace(each, what=f"profile {profile}: {each.what}") if profile and each not in findings else each
            for each in said
        ]
    return findings


def _selections(release: Release) -> Iterator[tuple[str, str, tuple[str, ...] | None]]:
    """Yield what tells nodes apart: a profile, its command line, its plugins (all for None); each difference once."""
    seen = set()
    own = release.settings.cmdline
    rows: list[tuple[str, str, tuple[str, ...] | None]] = [("", own, None)]
    rows += [(each.name, f"{own} {each.cmdline}", each.plugins) for each in release.settings.profiles]
    for profile, cmdline, names in rows:
        key = (init_of(cmdline), names)
        if key not in seen:
            seen.add(key)
            yield profile, cmdline, names


def _stacked(root: Layer, plugins: Mapping[ReleaseFile, Layer]) -> Tree:
    """Return the root as it will be: layers over one another, tar plugins laid down over them."""
    layers = [root, *(layer for file, layer in plugins.items() if file.format == "squashfs")]
    for file, layer in plugins.items():
        if file.format != "squashfs":
            layers.append(laid_over(layer, Tree(layers)))
    return Tree(layers)


def _boot(kernel: Kernel | None, initramfs: Initramfs | None, files: list[ReleaseFile]) -> Boot | None:
    if kernel is None or initramfs is None:
        return None
    packed = files[0].size_bytes if files else 0
    return Boot(kernel.memory_bytes, packed, initramfs.unpacked_bytes, initramfs.runtime_bytes)
