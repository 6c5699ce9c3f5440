"""The device trees of a kernel in a site: `stage0/<sha256 of the kernel>.dtb/`, for U-Boot to fetch.

They go with the kernel, not with a release, and no manifest names them: on this way nobody checks the kernel either.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from seeder.boot_script.grammar import TftpPath
from seeder.site.writer import SiteWriter
from swarmboot.errors import ReleaseError, SpaceError, UnreadableError
from swarmboot.ids import Digest

SUFFIX = ".dtb"
MOST, MOST_BYTES = 4096, 256 << 20


def trees_path(kernel: Digest) -> str:
    """Return the folder of a kernel's device trees, below the site."""
    return f"stage0/{kernel.hex()}{SUFFIX}"


def read_trees(folder: Path) -> Mapping[str, Path]:
    """Return the device trees below a folder by their path in it; links that lead out of it are refused.

    Raises ReleaseError for a name that no boot script carries, SpaceError for too many, UnreadableError.
    """
    real, found, left_bytes = Path(os.path.realpath(folder)), dict[str, Path](), MOST_BYTES
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(each for each in names if each.endswith((".dtb", ".dtbo"))):
            path = Path(parent, name)
            label = path.relative_to(folder).as_posix()
            target = Path(os.path.realpath(path))
            if not target.is_relative_to(real) or not target.is_file():
                raise UnreadableError(f"dtb/{label} is no file inside dtb/", hint="copy the file there")
            left_bytes -= target.stat().st_size
            if len(found) >= MOST or left_bytes < 0:
                raise SpaceError(
                    "dtb/ holds too much", expected=f"at most {MOST} device trees of {MOST_BYTES} bytes together",
                    hint="leave out boards that are not there",
                )  # fmt: skip
            try:
                TftpPath(label)
            except ValueError as error:
                raise ReleaseError(
                    f"dtb/{label} has a name that cannot be published",
                    expected="letters, digits, dots, dashes and underscores",
                ) from error
            found[label] = target
    return found


def put_trees(writer: SiteWriter, kernel: Digest, trees: Mapping[str, Path]) -> None:
    """Have a kernel's folder hold these device trees and no others; one that is there already is not written again."""
    top = trees_path(kernel)
    present = {path.relative_to(writer.path(top)).as_posix() for path in writer.path(top).rglob("*") if path.is_file()}
    for label in present - trees.keys():
        writer.remove(f"{top}/{label}")
    for label, path in trees.items():
        data = path.read_bytes()
        if not writer.holds_bytes(f"{top}/{label}", data):
            for folder in reversed(list(Path(top, label).parents)[:-1]):
                writer.make_folder(folder.as_posix())
            writer.write(f"{top}/{label}", data)


def drop_trees(writer: SiteWriter, wanted: set[Digest]) -> int:
    """Remove the folders of other kernels; return the bytes that this freed."""
    freed_bytes = 0
    for folder in writer.path("stage0").glob(f"*{SUFFIX}"):
        if folder.name.removesuffix(SUFFIX) not in {each.hex() for each in wanted}:
            freed_bytes += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            shutil.rmtree(folder)
    return freed_bytes
