"""What takes the room in an initramfs, by group: as files in the machine's memory, and packed as it is loaded."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from seeder.initramfs.archives import initramfs_entries
from seeder.initramfs.groups import EARLY, RUNTIME, group_of
from swarmboot.errors import ResourceError, ToolMissingError, UnreadableError
from swarmboot.host.programs import run_program

_CHUNK_BYTES = 1 << 20
_BOUND_S = 900
_PACK = ("zstd", "-q", "-f", "-19", "-T0")


@dataclass(frozen=True, slots=True)
class Share:
    """A group: how many files, how large they are, and how large packed by themselves, in bytes."""

    group: str
    files: int
    plain_bytes: int
    packed_bytes: int

    def value(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return asdict(self)


def shares(image: Path) -> list[Share]:
    """Return the groups of an initramfs, the largest first; raise as `initramfs_entries` does, or UnreadableError.

    Each is packed alone with zstd, which is a little more than its share; what is packed already counts as it is.
    """
    if not image.is_file():
        found = "no regular file" if image.exists() else "nothing"
        raise UnreadableError(f"{image} is no initramfs", expected="a file", found=found)
    if not shutil.which("zstd"):
        raise ToolMissingError("zstd is not installed", hint="install the package zstd")
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="swarmboot-sizes.") as work, ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        for _, entry in initramfs_entries(image, label=str(image)):
            if entry.read is None:
                continue
            group = group_of(entry.name)
            if group not in files:
                files[group] = stack.enter_context(Path(work, str(len(files))).open("w+b"))
            counts[group] += 1
            while data := entry.read(_CHUNK_BYTES):
                files[group].write(data)
        if not files:
            raise UnreadableError(f"{image} holds no file", expected="an initramfs")
        rows = [_share(group, counts[group], file) for group, file in files.items()]
    return sorted(rows, key=lambda share: -share.packed_bytes)


def _share(group: str, count: int, file: IO[bytes]) -> Share:
    file.flush()
    path = Path(file.name)
    plain_bytes = packed_bytes = path.stat().st_size
    if group not in (group_of(EARLY), group_of(RUNTIME)):
        packed = path.with_suffix(".packed")
        run_program((*_PACK, "-o", str(packed), str(path)), bound_s=_BOUND_S, failure=ResourceError)
        packed_bytes = packed.stat().st_size
    return Share(group, count, plain_bytes, packed_bytes)


def table(found: Iterable[Share], *, whole_bytes: int) -> list[str]:
    """Return the groups as lines of a Markdown table, in MB."""
    lines = ["| group | files | as files | packed |", "|---|---|---|---|"]
    rows = [*found]
    for share in rows:
        plain, packed = share.plain_bytes / 1e6, share.packed_bytes / 1e6
        lines.append(f"| {share.group} | {share.files} | {plain:.2f} MB | {packed:.2f} MB |")
    files, plain_bytes = sum(share.files for share in rows), sum(share.plain_bytes for share in rows)
    return [*lines, f"| in all | {files} | {plain_bytes / 1e6:.2f} MB | {whole_bytes / 1e6:.2f} MB |"]
