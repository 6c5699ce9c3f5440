"""A release with a kernel and an initramfs, and two machines that load them."""

from __future__ import annotations

from swarmboot.release.manifest import Manifest, Role
from tests.support.builders import build_artifact, build_manifest

VERSION = "6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)"
KERNEL = build_artifact("vmlinuz", role=Role.KERNEL, format="linux", version=VERSION)
INITRAMFS = build_artifact("initramfs.img", role=Role.INITRAMFS, format="cpio")
MANIFEST: Manifest = build_manifest(artifacts=(KERNEL, INITRAMFS, build_artifact()))
A, B = "52:54:00:00:00:0a", "52:54:00:00:00:0b"
