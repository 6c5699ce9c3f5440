"""Runs Sphinx: a warning, as of a link that leads nowhere, fails. The same pages make the same site."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.docs.staging import stage
from tests.support.tree import TREE


def build(out: Path) -> subprocess.CompletedProcess[str]:
    """Build the documentation into a folder; return how Sphinx ended and what it said."""
    with tempfile.TemporaryDirectory(prefix="swarmboot-docs.") as work:
        return sphinx(stage(Path(work) / "pages"), out)


def sphinx(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build what is staged in a folder."""
    with tempfile.TemporaryDirectory(prefix="swarmboot-docs.") as trees:
        command = ("-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", trees, source, out.absolute())
        words = [sys.executable, *map(str, command)]
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=TREE)
