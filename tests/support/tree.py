"""Where things are in the source tree, whichever folder a test is in."""

from __future__ import annotations

from pathlib import Path

TREE = Path(__file__).parent.parent.parent
DOCS = TREE / "docs"
HOOK = TREE / "initramfs-hook"
DRIVER = HOOK / "driver.sh"
