"""What a run moves: a random image made here, or a release directory the user names. And the check of what arrived.

It reads releases only as far as to find their files; what a release means is the publisher's business.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

from netsim.lab.rack.namespaces import RAM_FOLDER
from netsim.lab.strategies.strategy import Payload
from swarmboot.errors import NoRootImageError, SpaceError
from swarmboot.text.units import format_size

if TYPE_CHECKING:
    from pathlib import Path

    from netsim.lab.rack.plan import LabPlan

ROOT_IMAGE_NAMES = ("rootfs.squashfs", "rootfs.tar.zst", "rootfs.tar.gz", "rootfs.cpio.zst", "rootfs.cpio.gz")
_SEED = 20
_CHUNK_BYTES = 4 * 2**20
_PROGRAM_BYTES = 64 * 2**20
"""A node's own memory, about: an interpreter, libtorrent and its buffers, less what nodes share of them."""


def make_image(path: Path, size_bytes: int, *, seed: int = _SEED) -> None:
    """Write `size_bytes` of seeded random bytes, which nothing on the way can compress."""
    source = random.Random(seed)
    with path.open("wb") as image:
        for start in range(0, size_bytes, _CHUNK_BYTES):
            image.write(source.randbytes(min(_CHUNK_BYTES, size_bytes - start)))


def load_payload(plan: LabPlan, directory: Path) -> Payload:
    """Return the plan's payload, made in `directory` unless the plan names a release; raise NoRootImageError."""
    if plan.release is None:
        release = directory / "release"
        release.mkdir()
        image = release / ROOT_IMAGE_NAMES[0]
        make_image(image, plan.size_bytes)
        return Payload(release=release, image=image, images=(image,))
    found = [plan.release / name for name in ROOT_IMAGE_NAMES if (plan.release / name).is_file()]
    if len(found) != 1:
        raise NoRootImageError(
            f"{plan.release} cannot be moved",
            expected=f"one root image, such as {ROOT_IMAGE_NAMES[0]}",
            found=", ".join(path.name for path in found) or "none",
        )
    plugins = sorted(path for path in (plan.release / "plugins").glob("*") if path.is_file())
    images = [path.absolute() for path in (found[0], *plugins)]  # each program has a folder of its own
    return Payload(release=plan.release, image=images[0], images=tuple(images))


def payload_bytes(plan: LabPlan) -> int:
    """Return the size of everything a node may need, in bytes, without making it."""
    if plan.release is None:
        return plan.size_bytes
    return sum(path.stat().st_size for path in plan.release.rglob("*") if path.is_file())


def check_memory(needed_bytes: int, available_bytes: int, folder_bytes: int) -> None:
    """Raise SpaceError unless both the machine's memory and its folder in RAM can hold the run."""
    for place, free_bytes in (("memory", available_bytes), (str(RAM_FOLDER), folder_bytes)):
        if free_bytes < needed_bytes:
            raise SpaceError(
                f"too little {place} for this run: every node's images stay in RAM",
                expected=format_size(needed_bytes),
                found=format_size(free_bytes),
                hint="take fewer nodes or a smaller --size",
            )


def needed_bytes(nodes: int, size_bytes: int) -> int:
    """Return the memory a run takes: the image, the site and one copy for each node, and the programs themselves."""
    return (nodes + 3) * size_bytes + (nodes + 1) * _PROGRAM_BYTES


def digest(path: Path) -> bytes:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def holds_all(folder: Path, wanted: frozenset[tuple[int, bytes]]) -> bool:
    """Return whether a node's folder holds a file of each wanted size and digest, whatever their names."""
    sizes = {size for size, _ in wanted}
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size in sizes]
    return wanted <= {(path.stat().st_size, digest(path)) for path in files}
