"""What a node serves of stage 0, and how it compares its own with the manifest's."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import cast

from leecher.neighbour.stage0 import stage0_faults
from swarmboot.release.manifest import UNIFIED, Role
from swarmboot.release.stage0 import stage0_images
from tests.support.builders import build_artifact, build_manifest
from tests.support.stage0 import INITRAMFS, KERNEL, MANIFEST, VERSION

BUILD = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)"


def uname(release: str = "6.1.0-56-cloud-amd64", build: str = BUILD) -> os.uname_result:
    return cast(os.uname_result, SimpleNamespace(release=release, version=build))


def test_a_node_started_with_the_manifests_stage_0_has_nothing_to_say() -> None:
    prefixes = ",".join(each.sha256.hex()[:16] for each in (KERNEL, INITRAMFS))
    assert stage0_faults(MANIFEST, prefixes=prefixes, kernel=uname()) == ()
    assert stage0_faults(MANIFEST, prefixes="", kernel=uname()) == ()


def test_another_initramfs_and_another_kernel_are_told_apart() -> None:
    prefixes = f"{KERNEL.sha256.hex()[:16]},{'0' * 16}"
    (fault,) = stage0_faults(MANIFEST, prefixes=prefixes, kernel=uname())
    assert fault.startswith("its initramfs is not the manifest's")
    (fault,) = stage0_faults(MANIFEST, prefixes="", kernel=uname(release="6.1.0-13-cloud-amd64"))
    assert fault.startswith("its running kernel is not the manifest's")
    (fault,) = stage0_faults(MANIFEST, prefixes="", kernel=uname(build="#1 SMP Debian 6.1.55-1 (2023-09-29)"))
    assert fault.startswith("its running kernel is not the manifest's")


def test_a_node_serves_a_unified_kernel_image_alone() -> None:
    image = build_artifact("boot.efi", role=Role.KERNEL, format=UNIFIED)
    assert stage0_images(build_manifest(artifacts=(image, build_artifact()))) == (image,)
    assert stage0_images(MANIFEST) == (KERNEL, INITRAMFS)
    assert stage0_images(build_manifest(artifacts=(KERNEL, build_artifact()))) == ()


def test_a_unified_kernel_image_that_holds_its_command_line_is_told_by_its_kernel_only() -> None:
    image = build_artifact("boot.efi", role=Role.KERNEL, format=UNIFIED, version=VERSION)
    manifest = build_manifest(artifacts=(image, build_artifact()))
    assert stage0_faults(manifest, prefixes="unified", kernel=uname()) == ()
    assert len(stage0_faults(manifest, prefixes="unified", kernel=uname(release="6.1.0-1-amd64"))) == 1
