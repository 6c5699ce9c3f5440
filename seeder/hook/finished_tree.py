"""The finished tree of a runtime image: programs run in it as on a node, and packed in the order in which a node reads.

squashfs packs small files together into fragments of a block and keeps three of them unpacked (fs/squashfs/cache.c,
Linux 6.18). Python loads some hundred small files from here and there in the tree, so that the same fragments are
unpacked again and again. In the order of reading each of them is unpacked once.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from seeder.squashfs import sort_file
from swarmboot.errors import ResourceError
from swarmboot.host.programs import run_program

_BOUND_S = 600
_ALWAYS = (
    "-all-root", "-noappend", "-no-xattrs", "-no-exports", "-no-progress", "-quiet", "-all-time", "0",
    "-mkfs-time", "0",
)  # fmt: skip
_INSIDE = """
set -eu
module=$1
shift
ip link set lo up
mount -t tmpfs none "$1/run"
mount -t tmpfs none "$1/tmp"
mount -t proc none "$1/proc"
mount --bind /dev "$1/dev"
mkdir -p "$1/run/swarmboot/etc"
mkdir "$1/run/swarmboot/lib"
for library in "$@"; do [ "$library" = "$1" ] || cp -L "$library" "$1/run/swarmboot/lib/"; done
echo nameserver 127.0.0.1 >"$1/run/swarmboot/etc/resolv.conf"
exec env -i PATH=/usr/sbin:/usr/bin LANG=C.UTF-8 chroot "$1" /usr/bin/python3 -I -S -B -m "$module"
"""


def run_in(tree: Path, module: str, borrowed: Iterable[Path]) -> str:
    """Run a module of the tree in it, with the libraries that it borrows and namespaces of its own.

    Returns what it said; raises ResourceError if it fails.
    """
    contained = ("unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child", "--")
    command = (*contained, "sh", "-c", _INSIDE, "sh", module, str(tree), *map(str, borrowed))
    return run(command, f"{module} in the new runtime")


def read_order(tree: Path, borrowed: Iterable[Path]) -> list[str]:
    """Return the paths that a node reads, as seen from inside the tree, the first first; raises as `run_in` does."""
    return run_in(tree, "leecher.initramfs.read_order", borrowed).splitlines()


def sort_lines(read: Iterable[str], files: Iterable[str]) -> bytes:
    """Return what `mksquashfs -sort` wants to pack those of `files` first that are read: byte code in the order of
    reading, then programs and libraries in theirs, because the two compress better apart.

    `read` are paths as seen from inside the tree, `files` names below it. What is not read has no line and comes last.
    """
    there = set(files)
    names = (path.removeprefix("/") for path in dict.fromkeys(read))
    listed = sorted((name for name in names if name in there), key=lambda name: not name.endswith(".pyc"))
    return sort_file.sort_lines([os.fsencode(name) for name in listed])[0]


def options_of(compression: str) -> tuple[str, ...]:
    """Return the options of mksquashfs(1) for "xz" or "zstd", as small as each gets on this machine type."""
    if compression == "zstd":
        return ("-comp", "zstd", "-Xcompression-level", "22", "-b", "1M")
    is_x86 = os.uname().machine in ("x86_64", "i686")
    return ("-comp", "xz", *(("-Xbcj", "x86") if is_x86 else ()), "-b", "1M")


def pack(tree: Path, image: Path, options: Sequence[str], read: Iterable[str]) -> None:
    """Pack the tree, what is read first and the rest, or all of it where nothing is, as mksquashfs orders it.

    The same tree makes the same bytes. Raises ResourceError.
    """
    files = (str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    with tempfile.NamedTemporaryFile(prefix="swarmboot-order.") as order:
        order.write(sort_lines(read, files))
        order.flush()
        sort = ("-sort", order.name) if order.tell() else ()
        run(("mksquashfs", str(tree), str(image), *options, *sort, *_ALWAYS), "mksquashfs")


def run(command: Sequence[str], what: str) -> str:
    """Run a program and return its output; raise ResourceError with its last words if it fails.

    Without SOURCE_DATE_EPOCH, with which mksquashfs refuses the times that it is told here.
    """
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    return run_program(
        command, bound_s=_BOUND_S, failure=ResourceError, what=what, environment={**environment, "LC_ALL": "C.UTF-8"}
    )
