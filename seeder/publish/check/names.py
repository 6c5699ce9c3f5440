"""Names in a release that publish passes over, and what they should be called. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from seeder.publish.check.finding import Finding

_TAKEN = {"plugins", "env", "nodes", "nodes.secret", "dtb", "release.toml"}
_MEANT = tuple(
    (re.compile(pattern, re.IGNORECASE), right)
    for pattern, right in (
        (r"initrd|initramfs|initrd\.(?:gz|xz|zst|lz)|(?:initrd|initramfs).*\.img", "initramfs.img"),
        (r"(?:b?z?image|vmlinux|vmlinuz|linux|kernel)(?:[.-].*)?", "vmlinuz"),
        (r"(?:.*\.efi)", "boot.efi"),
        (r"plug-?ins?|layers?|modules?|overlays?", "plugins/"),
        (r"env.*|settings", "env/"),
        (r"nodes?|hosts?|machines?", "nodes/"),
        (r"hosts?\.csv", "nodes/hosts.csv"),
        (r"dtbs?|device-?trees?|fdts?", "dtb/"),
        (r".*\.env", "env/*.env"),
        (r".*\.toml", "release.toml"),
        (r".*\.(?:squashfs|sqfs|sfs|squash)|root(?:fs)?(?:\.img)?", "rootfs.squashfs"),
        (r".*\.(?:tar|tar\.xz|tgz|tar\.bz2|tar\.gz|tar\.zst)", "rootfs.tar.gz or rootfs.tar.zst"),
        (r".*\.cpio(?:\..*)?", "rootfs.cpio.gz or rootfs.cpio.zst"),
    )
)


def meant(name: str) -> str:
    """Return what a file or folder that is passed over should perhaps be called, nothing if there is no telling."""
    return next((right for pattern, right in _MEANT if pattern.fullmatch(name)), "")


def check_names(names: Iterable[str], published: set[str], noted: tuple[str, ...]) -> list[Finding]:
    """Return a note for each top-level name that is passed over; `noted` are notes that name some already."""
    findings = []
    for name in names:
        if name in _TAKEN | published or any(note.startswith(f"{name} ") for note in noted):
            continue
        right = meant(name)
        hint = f"rename it, if it is meant as {right}" if right else "take it out, if it does not belong there"
        findings.append(
            Finding(f"{name} is not published: no part of a release has this name", expected=right, hint=hint)
        )
    return findings


def check_pair(has_kernel: bool, has_initramfs: bool) -> list[Finding]:
    """Return a note for a kernel without an initramfs, and the other way round."""
    if has_kernel == has_initramfs:
        return []
    there, lacking = ("vmlinuz", "initramfs.img") if has_kernel else ("initramfs.img", "vmlinuz")
    return [
        Finding(
            f"the release has {there} without {lacking}: machines get no stage 0 from this site",
            expected="both or neither",
            hint=f"add {lacking}",
        )
    ]
