"""A machine whose root is in use before it is whole: published, an initramfs that asks for it, and booted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.system.vm import images
from tests.system.vm.lan import NAME, open_lan
from tests.system.vm.machine import Machine, booting
from tests.system.vm.programs import run

_PACK_S = 3000.0


def padded_release(folder: Path, size_bytes: int, *, first: str = "") -> Path:
    """Make a release whose root image is about so large, by a file that no boot reads.

    `first` are lines of shell that the booted machine runs before it says its marks.
    """
    release = images.write_release(folder, first=first)
    root, padding = release / "rootfs.squashfs", folder.parent / "padding"
    lacking = max(0, size_bytes - root.stat().st_size)
    shutil.copy(root, folder.parent / "root")  # it is a link to the sample's
    root.unlink()
    shutil.move(folder.parent / "root", root)
    padding.mkdir()
    with (padding / "padding.bin").open("wb") as file:
        for start in range(0, lacking, 1 << 24):
            file.write(os.urandom(min(1 << 24, lacking - start)))
    run("mksquashfs", str(padding), str(root), "-no-progress", "-quiet", within_s=_PACK_S)
    shutil.rmtree(padding)
    return release


@contextmanager
def lazy_machine(
    folder: Path, release: Path, *, uplink: str, generator: str = "initramfs-tools", memory: str = "1024",
    cmdline: str = "", publish: Sequence[str] = (),
) -> Iterator[Machine]:  # fmt: skip
    """Boot a machine whose root is in use before it is whole, as long as `cmdline` does not say otherwise.

    `publish` are further arguments of that.
    """
    fleet, kernel, site = images.fleet(), images.debian_kernel(), folder / "site"
    images.publish(release, *publish, site=site, keys=fleet.keys)
    initramfs = images.build_initramfs(
        folder / "initramfs.img", kernel=kernel, trust=fleet.trust, authority=fleet.authority, generator=generator,
        runtime=images.runtime_image(), defaults=("lazy=on",),
    )  # fmt: skip
    with open_lan(folder) as lan:
        lan.seeders.append(lan.serve(site, state=fleet.state(folder / "state"), uplink=uplink))
        words = f"swarmboot.server=https://{NAME}:8470 {cmdline}"
        with booting(lan, "lazy", kernel=kernel.image, initramfs=initramfs, cmdline=words, memory=memory) as machine:
            yield machine
