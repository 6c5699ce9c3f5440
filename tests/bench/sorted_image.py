"""What sorting spares: pieces of 64 KiB that a boot touches, as an image is and sorted, and what sorting costs in size.

    python -m tests.bench.sorted_image RELEASE [TRACE]

As root. Without a trace 7 % of the root image's files are drawn at random, and each is read whole.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from random import Random

from seeder.publish.images.reading_order import in_order
from seeder.publish.images.traced import read_trace
from seeder.publish.release_dir import read_release
from seeder.site.writer import writing
from seeder.squashfs.reader import read_squashfs
from swarmboot.release.manifest import Role
from swarmboot.release.trace import Read, ranges_of

PIECE_BYTES = 1 << 16
_SHARE = 0.07


def drawn(image: Path) -> list[Read]:
    """Return reads of files that are drawn at random."""
    nodes = read_squashfs(image, label=image.name).nodes
    files = sorted(path for path, node in nodes.items() if node.kind == "file" and node.size_bytes)
    chosen = Random(1).sample(files, int(len(files) * _SHARE))
    return [Read(0, nodes[path].size_bytes, f"/{path.decode()}") for path in chosen]


def main() -> None:
    """Print a line for the image as it is, and one for the sorted one."""
    release = read_release(Path(sys.argv[1]))
    root = next(file for file in release.files if file.role is Role.ROOT)
    reads = read_trace(Path(sys.argv[2]))[root.name] if len(sys.argv) > 2 else drawn(root.path)
    with tempfile.TemporaryDirectory() as folder, writing(Path(folder)) as writer:
        for is_sorted in (False, True):
            with in_order(release, {root.name: reads}, writer, is_sorted=is_sorted) as ordered:
                assert ordered.trace is not None
                size = next(file.size_bytes for file in ordered.release.files if file.role is Role.ROOT)
                runs = ranges_of(ordered.trace[root.name], size_bytes=size, piece_bytes=PIECE_BYTES, where=root.label)
            touched, all_of_them = sum(count for _, count in runs), -(-size // PIECE_BYTES)
            print(
                f"{'sorted' if is_sorted else 'as it is'}: {touched} of {all_of_them} pieces, "
                f"{touched / all_of_them:.1%}, {len(runs)} runs, {size / root.size_bytes - 1:+.1%} in size"
            )


if __name__ == "__main__":
    main()
