"""What takes the room in a runtime image: `python -m tests.bench.runtime_sizes RUNTIME.squashfs`.

Prints a Markdown table: each part's files as they are, and compressed alone as the image is, which is a little more
than their share of it. Needs unsquashfs and mksquashfs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

_PACKAGES = (
    "trio", "h11", "msgpack", "idna", "attrs?", "outcome", "sniffio",
    "sortedcontainers", "typing_extensions",
)  # fmt: skip
PARTS = (
    ("libtorrent, its Python binding", r"libtorrent"),
    ("cryptography", r"/cryptography/|/_cffi_backend"),
    ("OpenSSL", r"libssl|ossl-modules|/_ssl\.|/_hashlib\."),
    ("C++ and Boost", r"libstdc\+\+|libboost|libgcc_s"),
    ("Python's interpreter", r"bin/python3|libpython|libexpat|libffi"),
    ("trio, h11, msgpack and theirs", rf"/({'|'.join(_PACKAGES)})[/.]"),
    ("the leecher", r"/(leecher|swarmboot)/"),
    ("Python's standard library", r"/python3\.\d+/"),
)
_COMPRESSED = ("-comp", "xz", "-Xbcj", "x86", "-b", "1M", "-all-root", "-noappend", "-no-progress", "-quiet")


def part_of(name: str) -> str:
    """Return the part that a file of the image belongs to."""
    return next((part for part, pattern in PARTS if re.search(pattern, f"/{name}")), "the rest")


def main(image: Path) -> None:
    """Print the table of an image."""
    with tempfile.TemporaryDirectory() as folder:
        work, sizes = Path(folder), defaultdict[str, int](int)
        subprocess.run(("unsquashfs", "-quiet", "-no-progress", "-d", str(work / "tree"), str(image)), check=True)
        for path in sorted((work / "tree").rglob("*")):
            if path.is_file() and not path.is_symlink():
                name = str(path.relative_to(work / "tree"))
                sizes[part_of(name)] += path.stat().st_size
                to = work / part_of(name) / name
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
        print("| part | files | compressed |\n|---|---|---|")
        for part, size_bytes in sorted(sizes.items(), key=lambda item: -item[1]):
            packed = work / "packed"
            subprocess.run(("mksquashfs", str(work / part), str(packed), *_COMPRESSED), check=True, capture_output=True)
            print(f"| {part} | {size_bytes / 1e6:.2f} MB | {packed.stat().st_size / 1e6:.2f} MB |")
        print(f"| in all | {sum(sizes.values()) / 1e6:.2f} MB | {image.stat().st_size / 1e6:.2f} MB |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
