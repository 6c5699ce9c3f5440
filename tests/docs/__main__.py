"""Build the documentation as a site: `python -m tests.docs FOLDER`. Nothing in it is loaded from elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.docs.build import build


def main() -> int:
    """Build it and say where it is."""
    if len(sys.argv) != 2:
        print("usage: python -m tests.docs FOLDER", file=sys.stderr)
        return 2
    out = Path(sys.argv[1])
    done = build(out)
    print(done.stderr, end="", file=sys.stderr)
    print(out / "index.html" if done.returncode == 0 else "the documentation was not built", flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
