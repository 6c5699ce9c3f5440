"""A release is booted once in QEMU, and what it has read of its images is a trace that names files (0061)."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.trace.record import Recording, record
from swarmboot.release.trace import parse_trace
from tests.system.vm import images

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(1800),
    pytest.mark.needs("qemu-system-x86_64", "mkinitramfs", "busybox", "mksquashfs", "mmdebstrap", "zstd"),
]

BOOT_S = 1500.0


def test_a_release_is_booted_once_and_what_it_has_read_is_told_by_files(tmp_path: Path) -> None:
    fleet, kernel = images.fleet(), images.debian_kernel()
    release = images.write_release(tmp_path / "release")
    (release / "vmlinuz").hardlink_to(kernel.image)
    images.build_initramfs(
        release / "initramfs.img", kernel=kernel, trust=fleet.trust, authority=fleet.authority,
        runtime=images.runtime_image(), defaults=("lazy=on",),
    )  # fmt: skip
    text, _ = record(release, Recording(BOOT_S), tell=print)
    paths = [read.path for read in parse_trace(text, where="trace")["rootfs.squashfs"]]
    assert any(path.endswith("/systemd") for path in paths)
    assert "/usr/bin/dpkg" not in paths
