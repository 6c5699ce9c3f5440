"""What a node's leecher and its neighbour afterwards take of memory, on loopback.

    python -m tests.bench.node_memory [MB]

Publishes a root image of so many MB (60), boots it from a seeder beside it, and boots it again with its images there
already, as the neighbour in a booted system does. Prints a Markdown table of /proc/PID/status (proc(5)), in MB of a
million bytes: memory of its own (RssAnon), and pages of files that others share and the kernel may drop (RssFile).
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path

from tests.support.loopback import asking, booting, build_fleet, build_release, serving

_SETTLED_S = 5.0
_FIELDS = ("RssAnon", "RssFile", "VmHWM")


def main() -> None:
    """Measure and print the table."""
    size_bytes = int(sys.argv[1] if len(sys.argv) > 1 else "60") * 1_000_000
    print("| | its own | of files | most of both |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        fleet = build_fleet(work, build_release(work / "release", size_bytes=size_bytes))
        with serving(fleet) as seeder:
            for row in ("a leecher, done fetching", "a neighbour, its images there"):
                with booting(work, 1, *asking(seeder, fleet), "--linger") as node:
                    node.report()
                    time.sleep(_SETTLED_S)
                    status = Path(f"/proc/{node.process.pid}/status").read_text()
                    node.report_path.unlink()
                found = (re.search(rf"^{field}:\s+([0-9]+) kB$", status, re.MULTILINE) for field in _FIELDS)
                cells = (f"{int(each[1]) * 1024 / 1e6:.1f} MB" if each else "?" for each in found)
                print(f"| {row} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
