"""The pages of the documentation as Sphinx is given them: the tree's own, in their folders, and those made from code.

Pages stand as they are in the source, so that links between them hold in both. A link to a file that is no page becomes
its text; what a link names and is not there Sphinx refuses.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.docs import reference
from tests.support.tree import TREE

_HERE = Path(__file__).parent

SECTIONS: dict[str, tuple[str, ...]] = {
    "Start here": ("docs/tutorial.md", "README.md"),
    "How to": (
        "docs/release.md", "docs/boot.md", "docs/stage0.md", "docs/coinboot.md", "docs/debian-live.md",
        "docs/boards.md", "docs/secureboot.md", "docs/dhcp.md", "docs/systemd.md", "docs/plugins.md",
        "docs/operating.md", "docs/monitoring.md", "docs/service.md",
    ),
    "Reference": (
        "reference/commands.md", "docs/settings.md", "reference/statuses.md", "reference/metrics.md",
        "docs/glossary.md", "docs/threat-model.md",
    ),
    "Explanation": (
        "docs/architecture.md", "docs/decisions/README.md", "docs/performance.md", "docs/netsim.md", "docs/lab.md",
        "docs/calibration.md", "docs/measurements/README.md", "CONTRIBUTING.md", "findings/README.md",
    ),
}  # fmt: skip
"""Where each page stands; one that is not named here, as a new how-to, stands at the end of "How to"."""

_TITLES = {"README.md": "swarmboot on one page"}
_LINK = re.compile(r"(?<!!)\[([^\]\[]+)\]\(([^)#:\s]+)(#[^)]*)?\)")


def stage(out: Path) -> Path:
    """Return `out`, filled with all that the documentation is built of; what was there goes."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    write_configuration(out)
    pages = [TREE / name for name in ("README.md", "CONTRIBUTING.md", "findings/README.md")]
    pages += sorted((TREE / "docs").rglob("*.md"))
    for page in pages:
        to = out / page.relative_to(TREE)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(staged(page))
    for image in (path for path in (TREE / "docs").rglob("*") if path.suffix in (".svg", ".png")):
        to = out / image.relative_to(TREE)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, to)
    for name, text in reference.pages().items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text)
    _write_below(out / "docs/decisions/README.md", "[0-9]*.md")
    _write_below(out / "docs/measurements/README.md", "[!R]*.md")
    (out / "index.md").write_text("\n".join(_index(out)))
    return out


def write_configuration(out: Path) -> None:
    """Write Sphinx's configuration, and what it names, into a folder."""
    shutil.copy(_HERE / "conf.py", out / "conf.py")
    shutil.copytree(_HERE / "static", out / "static")


def staged(page: Path) -> str:
    """Return a page's text with links to what is no page, as a module or a folder, turned into their words."""

    def keep(match: re.Match[str]) -> str:
        target = page.parent / match[2]
        is_source = target.exists() and target.suffix not in (".md", ".svg", ".png")
        return match[1] if is_source else match[0]

    return _LINK.sub(keep, page.read_text())


def _write_below(page: Path, pattern: str) -> None:
    """Name in a folder's page, for the navigation alone, the folder's other pages."""
    names = sorted(path.stem for path in page.parent.glob(pattern))
    page.write_text("\n".join([page.read_text(), "```{toctree}", ":hidden:", *names, "```", ""]))


def _index(out: Path) -> Iterator[str]:
    yield "# swarmboot\n"
    yield "Boot a whole rack from one small server: every booted node helps the next ones.\n"
    known = {name for names in SECTIONS.values() for name in names}
    others = sorted(f"docs/{path.name}" for path in (out / "docs").glob("*.md") if f"docs/{path.name}" not in known)
    for title, names in SECTIONS.items():
        there = [name for name in (*names, *(others if title == "How to" else ())) if (out / name).is_file()]
        yield from ("```{toctree}", f":caption: {title}", ":maxdepth: 1", "")
        yield from map(_entry, there)
        yield "```\n"


def _entry(name: str) -> str:
    """Return a page's line in the navigation."""
    page = name.removesuffix(".md")
    return f"{_TITLES[name]} <{page}>" if name in _TITLES else page
