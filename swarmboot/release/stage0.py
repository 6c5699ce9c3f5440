"""Stage 0 of a release: what a machine loads before any of our code runs, and where servers and nodes have it."""

from __future__ import annotations

from swarmboot.release.manifest import UNIFIED, Artifact, Manifest, Role

IMAGES_AT = "/k/"
"""Where the seeder and nodes serve kernel and initramfs over plain HTTP, by their SHA-256."""


def stage0_images(manifest: Manifest) -> tuple[Artifact, ...]:
    """Return a release's kernel and initramfs, or its unified kernel image alone; nothing if it has neither."""
    kernels, initramfs = manifest.with_role(Role.KERNEL)[:1], manifest.with_role(Role.INITRAMFS)[:1]
    if kernels and kernels[0].format == UNIFIED:
        return kernels
    return (*kernels, *initramfs) if kernels and initramfs else ()


def image_path(artifact: Artifact) -> str:
    """Return where an image is served, with a leading slash."""
    return IMAGES_AT + artifact.sha256.hex()
